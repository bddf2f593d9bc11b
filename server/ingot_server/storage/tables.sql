-- name: table_ensure
-- Makes a table if it does not exist. $1 account, $2 name, $3 key fields.
INSERT INTO record_table (account_id, name, key_fields)
VALUES ($1, $2, $3)
ON CONFLICT (account_id, name) DO NOTHING

-- name: table_name_keys
-- Names a table's key fields, if nobody has yet. $1 table id, $2 key fields.
UPDATE record_table
SET key_fields = $2
WHERE table_id = $1
  AND key_fields = '{}'

-- name: table_lock
-- A table whose key fields nobody changes until we are done. $1 account, $2 name.
SELECT table_id, name, key_fields, create_time
FROM record_table
WHERE account_id = $1
  AND name = $2
FOR SHARE

-- name: table_rekey
-- Names other key fields for a table that nobody has used yet. $1 table id, $2 key fields.
UPDATE record_table
SET key_fields = $2
WHERE table_id = $1
  AND NOT EXISTS (SELECT FROM record WHERE table_id = $1)
  AND NOT EXISTS (SELECT FROM import WHERE table_id = $1 AND finish_time IS NULL)

-- name: table_lock_alone
-- Keeps everybody else from using a table until we are done. $1 table id.
SELECT key_fields
FROM record_table
WHERE table_id = $1
FOR UPDATE

-- name: table_get
-- One table by name. $1 account, $2 name.
SELECT table_id, name, key_fields, create_time
FROM record_table
WHERE account_id = $1
  AND name = $2

-- name: table_key_fields
-- A table's key fields. $1 table id.
SELECT key_fields
FROM record_table
WHERE table_id = $1

-- name: table_list
-- A page of tables by name. $1 account, $2 the last name of the page before, $3 how many.
SELECT table_id, name, key_fields, create_time
FROM record_table
WHERE account_id = $1
  AND name > $2
ORDER BY name
LIMIT $3
