-- What connections took from people, what of it waits for an administrator, and how leavers are closed.

-- Removals that were announced: so many of them pass, beyond what passes by itself.
CREATE TABLE expected_removals (
    id TEXT PRIMARY KEY,
    -- By which connection; nothing: by any.
    connection TEXT,
    number BIGINT NOT NULL,
    used BIGINT NOT NULL,
    until BIGINT NOT NULL,
    by_whom TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- One row for each time that a connection removed somebody. It remembers what she was before, because a
-- connection undoes only what it did.
CREATE TABLE removals (
    id TEXT PRIMARY KEY,
    person TEXT NOT NULL REFERENCES people (id),
    connection TEXT NOT NULL,
    at BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('done', 'held', 'released', 'rejected')),
    was_status TEXT NOT NULL,
    was_cause TEXT,
    -- The announcement that let it pass.
    expected TEXT REFERENCES expected_removals (id),
    -- What was held together with it.
    batch TEXT,
    decided_at BIGINT,
    decided_by TEXT,
    decided_because TEXT
);

CREATE UNIQUE INDEX removals_held ON removals (person) WHERE state = 'held';
CREATE INDEX removals_of ON removals (connection, state, at);
CREATE INDEX removals_person ON removals (person, at);

-- How a leaver was closed: 'nothing-left', 'by-hand', 'came-back'; by whom and why, where it was by hand.
ALTER TABLE leavers ADD COLUMN outcome TEXT;
ALTER TABLE leavers ADD COLUMN closed_by TEXT;
ALTER TABLE leavers ADD COLUMN closed_because TEXT;

-- Steps that could not be taken yet, with what stood in their way. Emptied by taking them.
CREATE TABLE leaver_delays (
    step TEXT NOT NULL,
    thing TEXT NOT NULL,
    person TEXT,
    attempts BIGINT NOT NULL,
    since BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    last_error TEXT NOT NULL,
    PRIMARY KEY (step, thing)
);

CREATE INDEX leaver_delays_person ON leaver_delays (person);

-- E-mail: to whom. Nothing for webhooks, and for e-mail whose recipients are still to be found.
ALTER TABLE outbox ADD COLUMN recipient TEXT;
