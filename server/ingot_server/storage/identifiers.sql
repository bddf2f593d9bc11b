-- name: identifier_find
-- Which records some identifiers belong to, in any of some tables. $1 table ids, $2 identifiers.
SELECT table_id, identifier, key
FROM record_identifier
WHERE table_id = ANY($1::bigint[])
  AND identifier = ANY($2::text[])

-- name: identifier_list_of_keys
-- All identifiers of some records. $1 table ids, $2 keys.
SELECT table_id, identifier, key
FROM record_identifier
WHERE table_id = ANY($1::bigint[])
  AND key = ANY($2::text[])

-- name: identifier_find_key
-- The record that an identifier belongs to. $1 table id, $2 identifier.
SELECT key
FROM record_identifier
WHERE table_id = $1
  AND identifier = $2

-- name: identifier_remove
-- Takes identifiers away from their records. $1 table id, $2 identifiers.
DELETE FROM record_identifier
WHERE table_id = $1
  AND identifier = ANY($2::text[])

-- name: identifier_remove_of_keys
-- Takes all identifiers away from some records. $1 table id, $2 keys.
DELETE FROM record_identifier
WHERE table_id = $1
  AND key = ANY($2::text[])

-- name: identifier_give
-- Gives identifiers to records. $1 table id, $2 identifiers, $3 keys, side by side.
INSERT INTO record_identifier (table_id, identifier, key)
SELECT $1, identifier, key
FROM unnest($2::text[], $3::text[]) AS given (identifier, key)
ORDER BY identifier
ON CONFLICT (table_id, identifier) DO UPDATE
SET key = excluded.key
