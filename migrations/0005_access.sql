-- Asking for a trust scope, saying yes or no, having it until it ends.

CREATE TABLE requests (
    id TEXT PRIMARY KEY,
    person TEXT NOT NULL REFERENCES people (id),
    -- What it was asked for; the scope decides what it allows.
    action TEXT NOT NULL,
    scope TEXT NOT NULL,
    application TEXT NOT NULL,
    environment TEXT NOT NULL,
    team TEXT NOT NULL,
    for_millis BIGINT NOT NULL,
    reason TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'denied', 'cancelled', 'expired', 'withdrawn')),
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    decided_at BIGINT
);

CREATE INDEX requests_person ON requests (person, created_at);
CREATE INDEX requests_state ON requests (state, expires_at);
-- Asking again is answered with what is pending.
CREATE UNIQUE INDEX requests_pending ON requests (person, scope, application, environment, team)
    WHERE state = 'pending';

CREATE TABLE approvals (
    request TEXT NOT NULL REFERENCES requests (id),
    person TEXT NOT NULL REFERENCES people (id),
    decision TEXT NOT NULL CHECK (decision IN ('approve', 'deny')),
    reason TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (request, person)
);

CREATE TABLE grants (
    id TEXT PRIMARY KEY,
    -- One request never becomes two grants.
    request TEXT NOT NULL UNIQUE REFERENCES requests (id),
    person TEXT NOT NULL REFERENCES people (id),
    scope TEXT NOT NULL,
    application TEXT NOT NULL,
    environment TEXT NOT NULL,
    team TEXT NOT NULL,
    starts_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    ended_at BIGINT,
    ended_because TEXT
);

CREATE INDEX grants_person ON grants (person);
CREATE INDEX grants_ending ON grants (ended_at, ends_at);
