-- What was found and done for each declared delivery.

CREATE TABLE delivery_states (
    delivery TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    -- What stands in its way, in words; never a value.
    detail TEXT NOT NULL,
    -- Keyed digest of what was delivered last, and how often it changed.
    digest BLOB,
    generation BIGINT NOT NULL,
    delivered_at BIGINT,
    changed_at BIGINT NOT NULL,
    paused_until BIGINT,
    paused_by TEXT,
    paused_reason TEXT
);

-- Which version of which secret is in which delivery.
CREATE TABLE delivered_versions (
    delivery TEXT NOT NULL,
    secret TEXT NOT NULL REFERENCES secrets (id),
    version TEXT NOT NULL REFERENCES versions (id),
    PRIMARY KEY (delivery, secret)
);
