-- Secrets, their immutable versions, and who came to know them.

CREATE TABLE secrets (
    id TEXT PRIMARY KEY,
    application TEXT NOT NULL,
    environment TEXT NOT NULL,
    -- The team whose copy of the environment it is; empty where the environment is shared.
    team TEXT NOT NULL,
    name TEXT NOT NULL,
    engine TEXT NOT NULL,
    -- Where it lives in the engine, when that is not our own place (mount, path, field as JSON).
    location TEXT,
    -- Number of the current version; NULL when the current one is deleted.
    current_number BIGINT,
    -- Highest number given so far.
    latest_number BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    UNIQUE (application, environment, team, name)
);

CREATE TABLE versions (
    id TEXT PRIMARY KEY,
    secret TEXT NOT NULL REFERENCES secrets (id),
    number BIGINT NOT NULL,
    -- Keyed: tells whether two values are equal, and nothing to anyone without the key.
    fingerprint BLOB NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('live', 'deleted', 'destroyed')),
    origin TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    -- The engine's own number of it (KV v2).
    engine_version BIGINT,
    -- Of the embedded engine only: the value under its own key, that key under the master key.
    sealed BLOB,
    wrapped_key BLOB,
    master_key TEXT,
    UNIQUE (secret, number)
);

CREATE INDEX versions_fingerprint ON versions (fingerprint);
CREATE INDEX versions_master_key ON versions (master_key);

CREATE TABLE exposures (
    id TEXT PRIMARY KEY,
    principal TEXT NOT NULL,
    secret TEXT NOT NULL REFERENCES secrets (id),
    version TEXT NOT NULL REFERENCES versions (id),
    fingerprint BLOB NOT NULL,
    how TEXT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    UNIQUE (principal, version, how)
);

CREATE INDEX exposures_secret ON exposures (secret);
