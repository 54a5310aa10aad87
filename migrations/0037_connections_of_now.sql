-- What a connection said of groups holds while the connection is in use.

DROP VIEW memberships_of_now;

CREATE VIEW memberships_of_now AS
    SELECT m.person, m.source, m.group_id,
        CASE WHEN c.heard_at > m.asserted_at THEN c.heard_at ELSE m.asserted_at END AS asserted_at
    FROM memberships m LEFT JOIN scim_connections c ON c.name = m.source
    WHERE c.disabled_at IS NULL;

-- Announced removals can be taken back: what has passed by then stays counted.
ALTER TABLE expected_removals ADD COLUMN withdrawn_at BIGINT;
