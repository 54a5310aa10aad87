-- What the log has to do with the outside: who cosigned it, and how far it was forwarded. No row of these
-- says who may do what; only a new place to forward to is recorded.

-- Cosignatures of checkpoints (C2SP tlog-cosignature): the signature line, as it stands below the note.
CREATE TABLE cosignatures (
    -- The verifier key of the witness: with another key it is another witness.
    witness TEXT NOT NULL,
    size BIGINT NOT NULL,
    line TEXT NOT NULL,
    -- When the witness says that it signed.
    time BIGINT NOT NULL,
    PRIMARY KEY (witness, size)
);

CREATE INDEX cosignatures_size ON cosignatures (size);

-- Where entries are forwarded to, and how far.
CREATE TABLE log_forwards (
    -- Digest of the address: an address may hold a token.
    target TEXT PRIMARY KEY,
    -- Digest of what it gets, as the newest entry about it says.
    described TEXT NOT NULL,
    next_entry BIGINT NOT NULL,
    -- End of the batch that is under way: sent again, it is the same batch.
    planned BIGINT,
    moved_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    last_error TEXT
);

-- Which replica does what only one of them should do, and for how long nobody else does.
CREATE TABLE log_turns (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    held_until BIGINT NOT NULL
);
