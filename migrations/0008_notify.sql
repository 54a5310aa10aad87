-- Messages to be sent, written in the transaction of what they tell about.

CREATE TABLE outbox (
    id TEXT PRIMARY KEY,
    -- Digest of where it goes: an address may hold a token.
    channel TEXT NOT NULL,
    topic TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    done_at BIGINT,
    last_error TEXT
);

CREATE INDEX outbox_next ON outbox (done_at, next_at);
