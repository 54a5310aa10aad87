-- Which entries were moved to an archive: their rows and openings are there, their tiles stay here. Entries
-- that say what was forgotten or moved stay, too.

CREATE TABLE log_archives (
    first BIGINT PRIMARY KEY,
    -- Before this one it ends. Ranges that lie side by side in one place are one.
    next_entry BIGINT NOT NULL,
    -- The archive, as entries name it.
    place TEXT NOT NULL,
    -- Times of the first and of the last entry.
    oldest BIGINT NOT NULL,
    newest BIGINT NOT NULL
);
