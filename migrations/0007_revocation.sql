-- What a leaver still knows, until it is worth nothing.

CREATE TABLE leavers (
    person TEXT NOT NULL REFERENCES people (id),
    -- When she was deactivated; somebody can leave more than once.
    since BIGINT NOT NULL,
    closed_at BIGINT,
    PRIMARY KEY (person, since)
);

CREATE TABLE rotation_tasks (
    id TEXT PRIMARY KEY,
    secret TEXT NOT NULL REFERENCES secrets (id),
    state TEXT NOT NULL CHECK (state IN ('open', 'closed')),
    opened_at BIGINT NOT NULL,
    closed_at BIGINT
);

CREATE UNIQUE INDEX rotation_tasks_open ON rotation_tasks (secret) WHERE state = 'open';

-- Which leavers a task is about, and which value of the secret each of them knows.
CREATE TABLE rotation_causes (
    task TEXT NOT NULL REFERENCES rotation_tasks (id),
    person TEXT NOT NULL REFERENCES people (id),
    fingerprint BLOB NOT NULL,
    PRIMARY KEY (task, person, fingerprint)
);

CREATE INDEX rotation_causes_person ON rotation_causes (person);

-- Leavers are looked for whenever the log has grown.
CREATE INDEX people_status ON people (status);
