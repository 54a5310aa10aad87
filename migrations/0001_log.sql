-- The log. Entries are facts; every other column beside a leaf is an index that can be recomputed.

CREATE TABLE log_head (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    size BIGINT NOT NULL,
    -- Root of the RFC 6962 tree, and the roots of its complete subtrees from left to right.
    root BLOB NOT NULL,
    edge BLOB NOT NULL,
    -- The units that were committed together last.
    batch TEXT NOT NULL,
    time BIGINT NOT NULL
);

-- Units that were committed together, and where their entries begin: how a commit that was not answered
-- is found again. Old ones are removed.
CREATE TABLE batches (
    first BIGINT PRIMARY KEY,
    id TEXT NOT NULL,
    size BIGINT NOT NULL
);

CREATE TABLE entries (
    idx BIGINT PRIMARY KEY,
    leaf BLOB NOT NULL,
    time BIGINT NOT NULL,
    kind TEXT NOT NULL,
    action TEXT NOT NULL,
    decision TEXT NOT NULL,
    actor TEXT NOT NULL,
    subject TEXT,
    application TEXT,
    environment TEXT,
    secret TEXT,
    scope TEXT,
    request TEXT
);

CREATE INDEX entries_actor ON entries (actor, idx);
CREATE INDEX entries_subject ON entries (subject, idx);
CREATE INDEX entries_application ON entries (application, environment, idx);
CREATE INDEX entries_action ON entries (action, idx);
CREATE INDEX entries_time ON entries (time, idx);

-- What the commitments in a leaf commit to: JSON, field by field {salt, value}; a forgotten field is
-- {"forgotten": index of the entry that says so}.
CREATE TABLE openings (
    entry BIGINT PRIMARY KEY,
    body TEXT NOT NULL
);

-- Complete tiles of 256 hashes, level by level.
CREATE TABLE log_tiles (
    level BIGINT NOT NULL,
    idx BIGINT NOT NULL,
    hashes BLOB NOT NULL,
    PRIMARY KEY (level, idx)
);

CREATE TABLE checkpoints (
    size BIGINT PRIMARY KEY,
    note TEXT NOT NULL,
    time BIGINT NOT NULL
);

-- What is about to be done outside the database, and what came of it.
CREATE TABLE intents (
    id TEXT PRIMARY KEY,
    room TEXT NOT NULL,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'done', 'failed', 'unknown')),
    opened_at BIGINT NOT NULL,
    closed_at BIGINT
);

CREATE INDEX intents_state ON intents (room, state);

-- Keys: the master key's identity, the log's signers. Private parts only sealed.
CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    purpose TEXT NOT NULL,
    public BLOB,
    sealed BLOB,
    created_at BIGINT NOT NULL,
    retired_at BIGINT
);

-- What was done under which Idempotency-Key: the claim commits with what was done, the answer follows.
CREATE TABLE idempotency (
    principal TEXT NOT NULL,
    token TEXT NOT NULL,
    -- Keyed: a request may hold a value.
    digest BLOB NOT NULL,
    -- Which attempt it was.
    attempt TEXT NOT NULL,
    -- The answer, sealed; NULL until it is kept. Never of an endpoint that answers with values.
    status BIGINT,
    body BLOB,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (principal, token)
);

CREATE INDEX idempotency_created ON idempotency (created_at);

CREATE TABLE cursors (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    at BIGINT NOT NULL
);

-- What is true of this database as a whole, such as that `dev` made it.
CREATE TABLE marks (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
