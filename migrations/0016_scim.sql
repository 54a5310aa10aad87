-- SCIM: connections by which identity providers say who works here, and what they have said.

CREATE TABLE scim_connections (
    name TEXT PRIMARY KEY,
    -- Moves with every change of what is set here.
    version BIGINT NOT NULL,
    -- The identity provider by which its people sign in, and which attribute is which claim of it.
    provider TEXT NOT NULL,
    issuer TEXT NOT NULL,
    link_attribute TEXT NOT NULL,
    link_claim TEXT NOT NULL,
    -- Signing in by that provider creates nobody.
    authoritative BOOLEAN NOT NULL,
    may_reactivate BOOLEAN NOT NULL,
    -- JSON: patterns of the groups that it may write.
    writable_groups TEXT NOT NULL,
    -- More removals than these within the window (milliseconds) are held: a share of its active people, in
    -- percent, and a number.
    breaker_share BIGINT NOT NULL,
    breaker_number BIGINT NOT NULL,
    breaker_window BIGINT NOT NULL,
    -- When it last spoke: what it said of groups is as young as that.
    heard_at BIGINT,
    created_at BIGINT NOT NULL,
    disabled_at BIGINT
);

CREATE TABLE scim_tokens (
    -- SHA-256 of the token; the token itself is nowhere.
    token_hash BLOB PRIMARY KEY,
    connection TEXT NOT NULL REFERENCES scim_connections (name),
    created_at BIGINT NOT NULL,
    ended_at BIGINT
);

CREATE INDEX scim_tokens_connection ON scim_tokens (connection, created_at);

CREATE TABLE scim_users (
    id TEXT PRIMARY KEY,
    connection TEXT NOT NULL REFERENCES scim_connections (name),
    -- NULL until the attribute that links is known.
    person TEXT REFERENCES people (id),
    external_id TEXT,
    user_name TEXT NOT NULL,
    -- Lower case: these are compared without.
    user_name_key TEXT NOT NULL,
    display_key TEXT,
    -- As the connection said last; what she is here is her person's status.
    active BOOLEAN NOT NULL,
    -- JSON: all attributes that are kept.
    body TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    deleted_at BIGINT
);

CREATE UNIQUE INDEX scim_users_name ON scim_users (connection, user_name_key) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX scim_users_of_person ON scim_users (connection, person) WHERE deleted_at IS NULL;
CREATE INDEX scim_users_external ON scim_users (connection, external_id);
CREATE INDEX scim_users_person ON scim_users (person);
CREATE INDEX scim_users_order ON scim_users (connection, deleted_at, id);

CREATE TABLE scim_emails (
    user_id TEXT NOT NULL REFERENCES scim_users (id),
    position BIGINT NOT NULL,
    -- Lower case.
    value_key TEXT NOT NULL,
    type_key TEXT,
    is_primary BOOLEAN NOT NULL,
    PRIMARY KEY (user_id, position)
);

CREATE INDEX scim_emails_value ON scim_emails (value_key);

CREATE TABLE scim_groups (
    id TEXT PRIMARY KEY,
    connection TEXT NOT NULL REFERENCES scim_connections (name),
    -- What files declare an alias for. Settled when the group is created, and never moved.
    group_id TEXT NOT NULL,
    external_id TEXT,
    display_name TEXT NOT NULL,
    display_key TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    deleted_at BIGINT
);

CREATE UNIQUE INDEX scim_groups_group ON scim_groups (connection, group_id) WHERE deleted_at IS NULL;
CREATE INDEX scim_groups_name ON scim_groups (connection, display_key);
CREATE INDEX scim_groups_external ON scim_groups (connection, external_id);
CREATE INDEX scim_groups_order ON scim_groups (connection, deleted_at, id);

-- A row a member, so that concurrent updates of a group lose none.
CREATE TABLE scim_members (
    group_id TEXT NOT NULL REFERENCES scim_groups (id),
    user_id TEXT NOT NULL REFERENCES scim_users (id),
    PRIMARY KEY (group_id, user_id)
);

CREATE INDEX scim_members_user ON scim_members (user_id);

-- What was refused, so that an administrator can mend the identity provider; the newest of each connection.
CREATE TABLE scim_refusals (
    id TEXT PRIMARY KEY,
    connection TEXT NOT NULL REFERENCES scim_connections (name),
    at BIGINT NOT NULL,
    operation TEXT NOT NULL,
    resource TEXT NOT NULL,
    detail TEXT NOT NULL,
    -- How often the same was refused again, and when last.
    times BIGINT NOT NULL,
    last_at BIGINT NOT NULL
);

CREATE INDEX scim_refusals_connection ON scim_refusals (connection, at);
