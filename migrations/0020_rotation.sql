-- What makes rotation tasks open, what holds them open, and what was agreed about them. Only added to:
-- a server of the version before works beside this one.

-- Under which trust scope somebody came to know a value; NULL: by none, or by more than one.
ALTER TABLE exposures ADD COLUMN scope TEXT;
CREATE INDEX exposures_known ON exposures (principal, fingerprint);

-- The first task of those that are one, because equal values are behind them; NULL: it is that itself.
ALTER TABLE rotation_tasks ADD COLUMN bundle TEXT;
CREATE INDEX rotation_tasks_bundle ON rotation_tasks (bundle);
CREATE INDEX rotation_tasks_state ON rotation_tasks (state, opened_at);

-- Since when a leaver's knowledge counts; NULL: since the task is open.
ALTER TABLE rotation_causes ADD COLUMN since BIGINT;

-- Values that are older than files allow. `since` is when they had become so.
CREATE TABLE rotation_ages (
    task TEXT NOT NULL REFERENCES rotation_tasks (id),
    fingerprint BLOB NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (task, fingerprint)
);

-- Two people agree that a task may wait. `task` is the first one of those that are one.
CREATE TABLE rotation_waivers (
    id TEXT PRIMARY KEY,
    task TEXT NOT NULL REFERENCES rotation_tasks (id),
    reason TEXT NOT NULL,
    until BIGINT NOT NULL,
    asked_by TEXT NOT NULL,
    asked_at BIGINT NOT NULL,
    confirmed_by TEXT,
    confirmed_at BIGINT,
    ended_at BIGINT,
    ended_because TEXT
);

CREATE UNIQUE INDEX rotation_waivers_live ON rotation_waivers (task) WHERE ended_at IS NULL;
CREATE INDEX rotation_waivers_ending ON rotation_waivers (ended_at, until);

-- That the values before `version` are worth nothing at their target any more: somebody has said so, or
-- a rotator has seen to it.
CREATE TABLE rotation_ends (
    task TEXT PRIMARY KEY REFERENCES rotation_tasks (id),
    version TEXT NOT NULL REFERENCES versions (id),
    said_by TEXT NOT NULL,
    at BIGINT NOT NULL
);

-- Whom we have asked for a new value, once for each value; empty: there was none.
CREATE TABLE rotation_asks (
    task TEXT NOT NULL REFERENCES rotation_tasks (id),
    version TEXT NOT NULL,
    rotator TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (task, version)
);

-- Which reminders have been sent.
CREATE TABLE rotation_reminders (
    task TEXT NOT NULL REFERENCES rotation_tasks (id),
    stage BIGINT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (task, stage)
);

-- How a rotator fares that has failed, until it has not.
CREATE TABLE rotator_failures (
    secret TEXT PRIMARY KEY,
    attempts BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    last_error TEXT NOT NULL
);
