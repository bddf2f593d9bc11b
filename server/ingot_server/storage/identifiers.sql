-- name: identifier_find
-- Which records some identifiers belong to, in any of some tables. $1 table ids, $2 identifiers.
--
-- LATERAL and OFFSET 0 ask for one look into the index for each: a plan that is made while the table is new, and
-- nothing is known of its size, would otherwise read all of it for each chunk.
SELECT searched.table_id, found.identifier, found.key
FROM unnest($1::bigint[]) AS searched (table_id)
CROSS JOIN unnest($2::text[]) AS wanted (identifier)
CROSS JOIN LATERAL (
    SELECT identifier, key
    FROM record_identifier
    WHERE table_id = searched.table_id
      AND identifier = wanted.identifier COLLATE "C"
    OFFSET 0
) AS found

-- name: identifier_find_many
-- As identifier_find, by table, to be run in `looking_up_many`. $1 table ids, $2 identifiers as text.
SELECT table_id, array_agg(identifier) AS identifiers, array_agg(key) AS keys
FROM record_identifier
WHERE table_id = ANY($1::bigint[])
  AND identifier = ANY($2::text::text[])
GROUP BY table_id

-- name: identifier_find_key
-- The record that an identifier belongs to. $1 table id, $2 identifier.
SELECT key
FROM record_identifier
WHERE table_id = $1
  AND identifier = $2

-- name: identifier_remove
-- Takes an identifier away from its record. $1 table id, $2 identifier.
DELETE FROM record_identifier
WHERE table_id = $1
  AND identifier = $2

-- name: identifier_move
-- Gives identifiers to other records. $1 table id, $2 identifiers, $3 keys, side by side.
INSERT INTO record_identifier (table_id, identifier, key)
SELECT $1, identifier, key
FROM unnest($2::text[], $3::text[]) AS given (identifier, key)
ORDER BY identifier COLLATE "C"
ON CONFLICT (table_id, identifier) DO UPDATE
SET key = excluded.key
