-- People, their accounts and groups, and how they are signed in.

CREATE TABLE people (
    id TEXT PRIMARY KEY,
    status TEXT NOT NULL CHECK (status IN ('active', 'suspended', 'deactivated')),
    -- Who or what suspended or deactivated: an administrator's id or a connection's name.
    status_cause TEXT,
    status_since BIGINT NOT NULL,
    -- For display only; they decide nothing.
    display_name TEXT NOT NULL,
    email TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- Moves with every change that a decision could rest on: status, accounts, groups, sessions, grants.
    facts BIGINT NOT NULL
);

CREATE INDEX people_email ON people (email);

CREATE TABLE accounts (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    person TEXT NOT NULL REFERENCES people (id),
    provider TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);

CREATE INDEX accounts_person ON accounts (person);

-- A group membership as one source says it, and when it last said so.
CREATE TABLE memberships (
    person TEXT NOT NULL REFERENCES people (id),
    source TEXT NOT NULL,
    group_id TEXT NOT NULL,
    asserted_at BIGINT NOT NULL,
    PRIMARY KEY (person, source, group_id)
);

CREATE INDEX memberships_group ON memberships (source, group_id);

CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    -- SHA-256 of the token; the token itself is nowhere.
    token_hash BLOB NOT NULL UNIQUE,
    person TEXT NOT NULL REFERENCES people (id),
    kind TEXT NOT NULL CHECK (kind IN ('browser', 'cli', 'recovery')),
    label TEXT NOT NULL,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    -- The IdP's session, for back-channel logout.
    sid TEXT,
    -- ID token, sealed: RP-initiated logout hands it back as a hint.
    sealed_id_token BLOB,
    created_at BIGINT NOT NULL,
    authenticated_at BIGINT NOT NULL,
    acr TEXT,
    amr TEXT NOT NULL,
    idle_millis BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    ended_at BIGINT,
    ended_because TEXT
);

CREATE INDEX sessions_person ON sessions (person);
CREATE INDEX sessions_ending ON sessions (ended_at, ends_at);

CREATE TABLE last_seen (
    session TEXT PRIMARY KEY,
    at BIGINT NOT NULL
);

CREATE TABLE pending_sign_ins (
    -- SHA-256 of `state`; single use.
    state_hash BLOB PRIMARY KEY,
    provider TEXT NOT NULL,
    -- SHA-256 of the cookie of the browser that began it.
    browser_hash BLOB NOT NULL,
    nonce TEXT NOT NULL,
    sealed_verifier BLOB NOT NULL,
    return_to TEXT NOT NULL,
    -- Step-up: the oldest sign-in that will do, in seconds, and the classes of which one is wanted.
    max_age BIGINT,
    acr_values TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX pending_sign_ins_expiry ON pending_sign_ins (expires_at);

CREATE TABLE pending_logins (
    id TEXT PRIMARY KEY,
    -- PKCE S256 challenge of the waiting portctl, its loopback port, and its state.
    challenge TEXT NOT NULL,
    port BIGINT NOT NULL,
    state TEXT NOT NULL,
    machine TEXT NOT NULL,
    -- Once somebody has clicked: her browser session, and SHA-256 of the one-time code.
    session TEXT,
    code_hash BLOB,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX pending_logins_expiry ON pending_logins (expires_at);
CREATE INDEX pending_logins_session ON pending_logins (session);

-- The way back in when the IdP is down: single use, short-lived.
CREATE TABLE recovery_rights (
    token_hash BLOB PRIMARY KEY,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);
