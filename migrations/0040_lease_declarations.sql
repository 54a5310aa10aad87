-- A workload's lease rests on what was declared of it when the lease was issued, and on whose token it brought;
-- and each lease says which entry tells that its holder came to know the credentials.

-- SHA-256 of the declaration; NULL for people.
ALTER TABLE leases ADD COLUMN declaration BLOB;
-- The issuer's name in the configuration; NULL for people.
ALTER TABLE leases ADD COLUMN issuer TEXT;
-- The index of that entry; NULL where nobody was told, and where it was before this column.
ALTER TABLE leases ADD COLUMN entry BIGINT;
