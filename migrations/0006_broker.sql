-- What was found and done for each declared delivery.

CREATE TABLE delivery_states (
    delivery TEXT PRIMARY KEY,
    -- What is delivered, `APPLICATION/ENVIRONMENT[@TEAM]`.
    environment TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL,
    -- What stands in its way, in words; never a value.
    detail TEXT NOT NULL,
    -- Keyed digest of what was delivered last, and how often it changed.
    digest BLOB,
    generation BIGINT NOT NULL,
    -- What the annotation `portcontrol.dev/audit-index` says of the last write.
    audit_index BIGINT NOT NULL DEFAULT 0,
    delivered_at BIGINT,
    changed_at BIGINT NOT NULL,
    paused_until BIGINT,
    paused_by TEXT,
    paused_reason TEXT
);

-- Every Secret that may be there because we made it: noted before it is made, taken off when it is
-- known to be gone. So one that no file declares any more is found and removed.
CREATE TABLE delivery_places (
    delivery TEXT NOT NULL,
    cluster TEXT NOT NULL,
    namespace TEXT NOT NULL,
    secret TEXT NOT NULL,
    -- What was delivered there, `APPLICATION/ENVIRONMENT[@TEAM]`.
    environment TEXT NOT NULL,
    PRIMARY KEY (delivery, cluster, namespace, secret)
);

-- Which version of which secret is in which delivery; at which place, because a delivery that moved
-- is at two places until the old one is gone.
CREATE TABLE delivered_versions (
    delivery TEXT NOT NULL,
    place TEXT NOT NULL DEFAULT '',
    secret TEXT NOT NULL REFERENCES secrets (id),
    version TEXT NOT NULL REFERENCES versions (id),
    PRIMARY KEY (delivery, place, secret)
);

CREATE INDEX delivered_versions_secret ON delivered_versions (secret);
CREATE INDEX delivered_versions_version ON delivered_versions (version);
