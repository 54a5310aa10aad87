-- Holds: as long as one stands, nothing that it covers is forgotten.

CREATE TABLE holds (
    id TEXT PRIMARY KEY,
    -- Whom it covers; NULL: everybody.
    person TEXT,
    made_by TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    released_at BIGINT
);

CREATE INDEX holds_standing ON holds (released_at, person);
