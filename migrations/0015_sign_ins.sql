-- How a sign-in goes on: which session came from which, when the provider last confirmed it, the refresh
-- tokens that ask it again, and the sessions that it ends.

-- The browser's session that let this one in; nothing for a browser's own.
ALTER TABLE sessions ADD COLUMN origin TEXT;
-- When the identity provider last said that this sign-in still stands; where nothing is said, when it began.
ALTER TABLE sessions ADD COLUMN confirmed_at BIGINT;

CREATE INDEX sessions_origin ON sessions (origin);
CREATE INDEX sessions_sid ON sessions (issuer, sid);
CREATE INDEX sessions_subject ON sessions (issuer, subject);

-- A command line that is signed in and waits for its person to confirm who she is: its session, and what is
-- wanted of the confirmation.
ALTER TABLE pending_logins ADD COLUMN raises TEXT;
ALTER TABLE pending_logins ADD COLUMN max_age BIGINT;
ALTER TABLE pending_logins ADD COLUMN acr_values TEXT;

-- By which a provider is asked again. Kept as long as the browser's session lives, or one that it let in.
CREATE TABLE refresh_tokens (
    session TEXT PRIMARY KEY REFERENCES sessions (id),
    provider TEXT NOT NULL,
    -- Sealed; replaced by whatever the provider gives in its place.
    sealed BLOB NOT NULL,
    -- When the provider may be asked again, and until when somebody is asking.
    next_at BIGINT NOT NULL,
    asking_until BIGINT NOT NULL
);

CREATE INDEX refresh_tokens_next ON refresh_tokens (next_at);

-- Logout tokens that were taken: each is good once.
CREATE TABLE logout_tokens (
    provider TEXT NOT NULL,
    -- SHA-256 of `jti`.
    jti_hash BLOB NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (provider, jti_hash)
);

-- Machines without a browser that wait for somebody to type their code (RFC 8628).
CREATE TABLE device_logins (
    -- SHA-256 of the device code.
    device_hash BLOB PRIMARY KEY,
    -- Keyed digest of the user code, which is short.
    user_code BLOB NOT NULL UNIQUE,
    machine TEXT NOT NULL,
    network TEXT,
    -- How often the code was typed.
    shown BIGINT NOT NULL,
    -- What was said to it: the browser's session that lets it in, or that it was refused.
    session TEXT,
    refused BIGINT NOT NULL,
    -- When it asked last, and how long it has to wait in between.
    asked_at BIGINT NOT NULL,
    wait_millis BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX device_logins_expiry ON device_logins (expires_at);
