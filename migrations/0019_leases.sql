-- Leases: credentials that an engine made for one holder and can take back.
--
-- A row is at the same time the record that its holder came to know a credential: there is no secret and no
-- version that a row of `exposures` could name, and nothing to rotate. What is shown as an exposure `lease` is
-- read from here: who (`principal`), what (`application`/`environment`/`role`), when (`issued_at`), and how long
-- it was good (`ended_at`; NULL while it may still work). A row that was never `issued_at` exposed nothing.

CREATE TABLE leases (
    id TEXT PRIMARY KEY,
    -- Who holds it, as the log names whoever it is.
    principal TEXT NOT NULL,
    application TEXT NOT NULL,
    environment TEXT NOT NULL,
    role TEXT NOT NULL,
    -- What the permit for noting outcomes is about, even where no file declares it any more.
    owner TEXT,
    protected BIGINT NOT NULL,
    -- Where the engine has the role.
    mount TEXT NOT NULL,
    engine_role TEXT NOT NULL,
    -- What it was allowed by; it ends with the grant.
    scope TEXT,
    grant_id TEXT,
    -- opening: nobody has the credentials yet; live; revoking: they may work until the engine has answered.
    state TEXT NOT NULL CHECK (state IN ('opening', 'live', 'revoking', 'ended')),
    -- What is under way at the engine and has no outcome yet.
    intent TEXT,
    created_at BIGINT NOT NULL,
    issued_at BIGINT,
    -- When it ends unless it is renewed, and until when it can be.
    ends_at BIGINT NOT NULL,
    limit_at BIGINT NOT NULL,
    -- The engine's own name of it; no credential.
    engine_lease TEXT,
    because TEXT,
    revoking_at BIGINT,
    ended_at BIGINT
);

CREATE INDEX leases_state ON leases (state, ends_at);
CREATE INDEX leases_principal ON leases (principal, state);
CREATE INDEX leases_grant ON leases (grant_id);
CREATE INDEX leases_intent ON leases (intent);

-- What takes the token back under which a lease is issued: there before anything is read with that token, and
-- until the engine has said that it is gone.
CREATE TABLE lease_accessors (
    lease TEXT PRIMARY KEY,
    accessor TEXT NOT NULL
);

-- How often taking a lease back was tried in vain, when it is tried again, and what stands in its way.
CREATE TABLE lease_attempts (
    lease TEXT PRIMARY KEY,
    attempts BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    detail TEXT NOT NULL
);
