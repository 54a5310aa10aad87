-- In which groups a person was when she signed in for the first time: what she is compared with who follows her,
-- however soon she moves, until where she stands is noted.
CREATE TABLE first_met (
    person TEXT PRIMARY KEY REFERENCES people (id),
    -- The version of what was declared then.
    catalog BIGINT NOT NULL,
    source TEXT NOT NULL,
    -- JSON: as the source names them.
    groups TEXT NOT NULL
);
