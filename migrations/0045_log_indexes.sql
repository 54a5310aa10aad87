-- Most entries are about nobody in particular, or about no application: they have no place in these indexes,
-- and cost nothing there.
DROP INDEX entries_subject;
DROP INDEX entries_application;
CREATE INDEX entries_subject ON entries (subject, idx) WHERE subject IS NOT NULL;
CREATE INDEX entries_application ON entries (application, environment, idx) WHERE application IS NOT NULL;
