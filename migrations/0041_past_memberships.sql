-- Who was in which group until when: what lay in a cluster until then could be read by her, whoever asks later.
CREATE TABLE past_memberships (
    person TEXT NOT NULL REFERENCES people (id),
    -- As in memberships.
    source TEXT NOT NULL,
    group_id TEXT NOT NULL,
    -- The last time.
    left_at BIGINT NOT NULL,
    PRIMARY KEY (person, source, group_id)
);

CREATE INDEX past_memberships_left ON past_memberships (left_at);
