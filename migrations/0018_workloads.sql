-- Tokens of workloads: CI jobs and ServiceAccounts, in exchange for a token of their own issuer.

CREATE TABLE workload_tokens (
    id TEXT PRIMARY KEY,
    -- SHA-256 of the token; the token itself is nowhere.
    token_hash BLOB NOT NULL UNIQUE,
    -- Its name as files declare it, and SHA-256 of that declaration: where it moves, the token is good for
    -- nothing.
    workload TEXT NOT NULL,
    declaration BLOB NOT NULL,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    -- SHA-256 of the issuer and the id of the token that was exchanged, where each may be exchanged once.
    once BLOB UNIQUE,
    -- The one trust scope that it was asked for.
    scope TEXT,
    network TEXT,
    issued_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    ended_at BIGINT,
    -- From when on nothing needs the row any more: its token and the one exchanged for it have ended.
    forget_at BIGINT NOT NULL
);

CREATE INDEX workload_tokens_forget ON workload_tokens (forget_at);
