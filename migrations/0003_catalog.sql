-- What files declare. `version` moves with every apply; a snapshot of it is what decisions rest on.

CREATE TABLE catalog (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    version BIGINT NOT NULL
);

INSERT INTO catalog (id, version) VALUES (1, 0);

CREATE TABLE sources (
    name TEXT PRIMARY KEY,
    digest BLOB NOT NULL,
    applied_at BIGINT NOT NULL,
    applied_by TEXT NOT NULL
);

CREATE TABLE declared (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    source TEXT NOT NULL REFERENCES sources (name),
    -- Canonical JSON of the declaration.
    body TEXT NOT NULL,
    PRIMARY KEY (kind, name)
);
