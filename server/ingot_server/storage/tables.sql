-- name: table_create
-- Makes a table, unless the account has one of this name. $1 account, $2 name, $3 key fields, $4 rules, $5 whether it is
-- declared.
INSERT INTO record_table (account_id, name, key_fields, rules, declared)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (account_id, name) WHERE delete_time IS NULL DO NOTHING
RETURNING table_id, name, key_fields, rules, declared, create_time, update_time

-- name: table_get
-- One table by name. $1 account, $2 name.
SELECT table_id, name, key_fields, rules, declared, create_time, update_time
FROM record_table
WHERE account_id = $1
  AND name = $2
  AND delete_time IS NULL

-- name: table_lock_shared
-- A table whose settings nobody changes until we are done. $1 account, $2 name.
SELECT table_id, name, key_fields, rules, declared, create_time, update_time
FROM record_table
WHERE account_id = $1
  AND name = $2
  AND delete_time IS NULL
FOR KEY SHARE

-- name: table_lock_alone
-- A table that nobody else can begin to use until we are done: for the gate see table_lock_identifiers. $1 account,
-- $2 name.
WITH gate AS MATERIALIZED (
    SELECT pg_advisory_xact_lock(hashtextextended('identifiers', table_id))
    FROM record_table
    WHERE account_id = $1
      AND name = $2
      AND delete_time IS NULL
)
SELECT table_id, name, key_fields, rules, declared, create_time, update_time
FROM gate
CROSS JOIN record_table
WHERE account_id = $1
  AND name = $2
  AND delete_time IS NULL
FOR UPDATE OF record_table

-- name: table_lock_by_id
-- As table_lock_identifiers, with the key fields. $1 table id.
SELECT key_fields
FROM record_table
WHERE table_id = $1
FOR NO KEY UPDATE

-- name: table_lock_identifiers
-- Waits until nobody else gives identifiers to records of the table, and keeps others from it; table_lock_shared does
-- not mind. $1 table id.
--
-- Who shares the lock of a row passes by those who wait for it alone, perhaps for ever. The gate before it has a queue.
WITH gate AS MATERIALIZED (
    SELECT pg_advisory_xact_lock(hashtextextended('identifiers', $1))
)
SELECT
FROM gate
CROSS JOIN record_table
WHERE table_id = $1
FOR NO KEY UPDATE OF record_table

-- name: table_share_identifiers
-- As table_lock_identifiers, beside others who do so: none changes the identifiers of a record that is there. $1 table
-- id.
WITH gate AS MATERIALIZED (
    SELECT pg_advisory_xact_lock_shared(hashtextextended('identifiers', $1))
)
SELECT
FROM gate
CROSS JOIN record_table
WHERE table_id = $1
FOR SHARE OF record_table

-- name: table_lock_named
-- As table_lock_identifiers, for a table whose settings nobody may change meanwhile either. Whoever needs both takes this
-- lock first, and not a shared one before. $1 account, $2 name.
WITH gate AS MATERIALIZED (
    SELECT pg_advisory_xact_lock(hashtextextended('identifiers', table_id))
    FROM record_table
    WHERE account_id = $1
      AND name = $2
      AND delete_time IS NULL
)
SELECT table_id, name, key_fields, rules, declared, create_time, update_time
FROM gate
CROSS JOIN record_table
WHERE account_id = $1
  AND name = $2
  AND delete_time IS NULL
FOR NO KEY UPDATE OF record_table

-- name: table_name_keys
-- Names a table's key fields, if nobody has yet. $1 table id, $2 key fields.
UPDATE record_table
SET key_fields = $2, update_time = now()
WHERE table_id = $1
  AND key_fields = '{}'
RETURNING key_fields

-- name: table_unfinished_import
-- An import into the table that is not at its end. $1 table id.
SELECT import_id
FROM import
WHERE table_id = $1
  AND finish_time IS NULL
ORDER BY import_id
LIMIT 1

-- name: table_any_record
-- A row if the table holds a record. $1 table id.
SELECT
FROM record
WHERE table_id = $1
LIMIT 1

-- name: table_set
-- Changes a table that is locked. $1 table id, $2 key fields, $3 rules, $4 whether it is declared.
UPDATE record_table
SET key_fields = $2, rules = $3, declared = $4, update_time = now()
WHERE table_id = $1
RETURNING table_id, name, key_fields, rules, declared, create_time, update_time

-- name: table_list
-- A page of tables by name. $1 account, $2 the last name of the page before, $3 how many.
SELECT table_id, name, key_fields, rules, declared, create_time, update_time
FROM record_table
WHERE account_id = $1
  AND name > $2
  AND delete_time IS NULL
ORDER BY name
LIMIT $3

-- name: table_list_of_kinds
-- The account's tables of these kinds, the oldest first. $1 account, $2 kinds.
SELECT table_id, name, rules ->> 'kind' AS kind
FROM record_table
WHERE account_id = $1
  AND delete_time IS NULL
  AND name IS NOT NULL
  AND rules ->> 'kind' = ANY($2::text[])
ORDER BY table_id

-- name: table_delete
-- Takes the name from a table that is locked; what it holds is cleared away later. $1 table id.
UPDATE record_table
SET delete_time = now()
WHERE table_id = $1

-- name: table_next_deleted
-- A deleted table that still has something, ours until the end of the transaction.
SELECT table_id
FROM record_table
WHERE delete_time IS NOT NULL
  AND (
    EXISTS (SELECT FROM record WHERE record.table_id = record_table.table_id)
    OR EXISTS (SELECT FROM record_identifier WHERE record_identifier.table_id = record_table.table_id)
    OR EXISTS (SELECT FROM branch_key WHERE branch_key.table_id = record_table.table_id)
    OR NOT EXISTS (SELECT FROM import WHERE import.table_id = record_table.table_id)
        AND NOT EXISTS (SELECT FROM import WHERE import.branch_id = record_table.table_id)
        AND NOT EXISTS (SELECT FROM field_index WHERE field_index.table_id = record_table.table_id)
  )
ORDER BY delete_time
LIMIT 1
FOR UPDATE SKIP LOCKED

-- name: table_clear_records
-- Deletes some records of a deleted table. $1 table id, $2 how many.
DELETE FROM record
WHERE table_id = $1
  AND key IN (SELECT key FROM record WHERE table_id = $1 ORDER BY key LIMIT $2)

-- name: table_clear_identifiers
-- Deletes some identifiers of a deleted table. $1 table id, $2 how many.
DELETE FROM record_identifier
WHERE table_id = $1
  AND identifier IN (SELECT identifier FROM record_identifier WHERE table_id = $1 ORDER BY identifier LIMIT $2)

-- name: table_clear_branch_keys
-- Deletes some of the keys that a deleted branch has touched. $1 table id, $2 how many.
DELETE FROM branch_key
WHERE table_id = $1
  AND key IN (SELECT key FROM branch_key WHERE table_id = $1 ORDER BY key LIMIT $2)

-- name: table_forget
-- Deletes what is left of a deleted table that nothing needs any more. $1 table id.
DELETE FROM record_table
WHERE table_id = $1
  AND delete_time IS NOT NULL
  AND NOT EXISTS (SELECT FROM import WHERE import.table_id = $1)
  AND NOT EXISTS (SELECT FROM import WHERE import.branch_id = $1)
  AND NOT EXISTS (SELECT FROM field_index WHERE field_index.table_id = $1)
