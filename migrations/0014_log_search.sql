-- Pages of a long log by what few entries have: only those that have it are in the index.
CREATE INDEX entries_request ON entries (request, idx) WHERE request IS NOT NULL;
CREATE INDEX entries_secret ON entries (secret, application, environment, idx) WHERE secret IS NOT NULL;
CREATE INDEX entries_scope ON entries (scope, idx) WHERE scope IS NOT NULL;
