-- What a connection said of groups is as young as its last word: it says what changes, and nothing of the rest.

CREATE VIEW memberships_of_now AS
    SELECT m.person, m.source, m.group_id,
        CASE WHEN c.heard_at > m.asserted_at THEN c.heard_at ELSE m.asserted_at END AS asserted_at
    FROM memberships m LEFT JOIN scim_connections c ON c.name = m.source;
