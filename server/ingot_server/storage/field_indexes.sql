-- name: field_index_want
-- Asks for an index. $1 table id, $2 field, $3 type.
INSERT INTO field_index (table_id, name, type)
VALUES ($1, $2, $3)
ON CONFLICT (table_id, name, type) DO UPDATE
SET wanted = true

-- name: field_index_unwant
-- Gives up all indexes of a table but those of some fields. $1 table id, $2 fields, $3 types, side by side.
UPDATE field_index
SET wanted = false
WHERE table_id = $1
  AND NOT EXISTS (
    SELECT FROM unnest($2::text[], $3::text[]) AS kept (name, type)
    WHERE kept.name = field_index.name COLLATE "C"
      AND kept.type = field_index.type
  )

-- name: field_index_list_ready
-- The indexes that can be used. $1 table ids.
SELECT table_id, name, type
FROM field_index
WHERE table_id = ANY($1::bigint[])
  AND ready
  AND wanted

-- name: field_index_next
-- An index that is not as it is wanted.
SELECT table_id, name, type, wanted
FROM field_index
WHERE NOT (ready AND wanted)
ORDER BY try_time NULLS FIRST, table_id, name
LIMIT 1

-- name: field_index_note_try
-- Notes that an index is being made or dropped. $1 table id, $2 field, $3 type.
UPDATE field_index
SET try_time = clock_timestamp()
WHERE table_id = $1
  AND name = $2
  AND type = $3

-- name: field_index_count
-- How many indexes there are, or shall be, in all, and how many of them belong to an account. $1 account.
SELECT count(*) AS total, count(*) FILTER (WHERE account_id = $1) AS own
FROM field_index
JOIN record_table USING (table_id)
WHERE wanted

-- name: field_index_is_valid
-- Whether an index was made to its end; NULL if it does not exist. $1 its name.
SELECT indisvalid
FROM pg_index
WHERE indexrelid = to_regclass($1)

-- name: field_index_set_ready
-- Notes that an index can be used. $1 table id, $2 field, $3 type.
UPDATE field_index
SET ready = true
WHERE table_id = $1
  AND name = $2
  AND type = $3

-- name: field_index_forget
-- Notes that an index is gone, unless it is wanted again; then it is made anew. $1 table id, $2 field, $3 type.
WITH gone AS (
    DELETE FROM field_index
    WHERE table_id = $1
      AND name = $2
      AND type = $3
      AND NOT wanted
)
UPDATE field_index
SET ready = false
WHERE table_id = $1
  AND name = $2
  AND type = $3
  AND wanted

-- name: field_index_try_lock
-- Only one process at a time makes indexes: two would make the same one. Not waiting: CREATE INDEX CONCURRENTLY waits for
-- every statement that is under way, also for one that waits for this lock.
SELECT pg_try_advisory_lock(7468, 2)

-- name: field_index_unlock
-- Lets others make indexes.
SELECT pg_advisory_unlock(7468, 2)
