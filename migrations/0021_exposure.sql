-- Exposures say which entries tell of them, and people's moves are noted.

-- The entries of the first and of the last time; NULL where it was before these columns.
ALTER TABLE exposures ADD COLUMN first_entry BIGINT;
ALTER TABLE exposures ADD COLUMN last_entry BIGINT;

-- Whether it is known who can read what a delivery put into a cluster, and what stands in the way.
CREATE TABLE delivery_readers (
    delivery TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('known', 'unknown')),
    -- In words.
    detail TEXT NOT NULL,
    since BIGINT NOT NULL
);

-- In which teams and trust scopes a person was, by her groups, when that was last compared with what is:
-- no decision rests on it.
CREATE TABLE standings (
    person TEXT PRIMARY KEY REFERENCES people (id),
    -- The version of her facts that it was compared with.
    facts BIGINT NOT NULL,
    -- JSON: names of teams and of trust scopes.
    body TEXT NOT NULL
);

-- What people gained and lost when their groups changed, or what files say of these.
CREATE TABLE moves (
    id TEXT PRIMARY KEY,
    person TEXT NOT NULL REFERENCES people (id),
    at BIGINT NOT NULL,
    -- The entry that tells of it.
    entry BIGINT NOT NULL,
    -- JSON: teams and trust scopes gained and lost, grants that ended, requests that were withdrawn.
    body TEXT NOT NULL
);

CREATE INDEX moves_person ON moves (person, id);

-- The teams that somebody came into or went out of by a move.
CREATE TABLE moved_teams (
    team TEXT NOT NULL,
    move TEXT NOT NULL REFERENCES moves (id),
    PRIMARY KEY (team, move)
);
