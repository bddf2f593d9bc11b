-- name: branch_create
-- Makes a branch of a table. $1 account, $2 key fields, $3 rules.
INSERT INTO record_table (account_id, name, key_fields, rules, declared)
VALUES ($1, NULL, $2, $3, false)
RETURNING table_id

-- name: branch_touch
-- Copies the records with some keys into a branch, unless that was done before; the keys of those that were copied.
-- $1 branch, $2 the table, $3 keys as text.
--
-- Of keys that the table does not have nothing is noted: that would take longer than to write their records.
-- ORDER BY key: two chunks of one import may touch the same keys at the same time.
WITH touched AS (
    INSERT INTO branch_key (table_id, key, existed)
    SELECT $1, wanted.key, true
    FROM (SELECT key COLLATE "C" AS key FROM unnest($3::text::text[]) AS given (key) ORDER BY 1) AS wanted
    CROSS JOIN LATERAL (
        SELECT
        FROM record
        WHERE table_id = $2
          AND key = wanted.key
        LIMIT 1
    ) AS found
    ON CONFLICT (table_id, key) DO NOTHING
    RETURNING key
)
INSERT INTO record (table_id, writer, create_time, update_time, rewritten, key, data, digest)
SELECT $1, writer, create_time, update_time, false, found.key, data, digest
FROM (SELECT key FROM touched ORDER BY key) AS wanted
CROSS JOIN LATERAL (
    SELECT *
    FROM record
    WHERE table_id = $2
      AND key = wanted.key
    LIMIT 1
) AS found
-- Somebody may have made a record in the table with a key that the import had made in its branch.
ON CONFLICT (table_id, key) DO NOTHING
RETURNING key

-- name: branch_add_identifiers
-- Gives the identifiers of records that were copied into a branch to them. $1 branch, $2 identifiers, $3 keys, side by
-- side.
INSERT INTO record_identifier (table_id, identifier, key)
SELECT $1, identifier, key
FROM unnest($2::text[], $3::text[]) AS given (identifier, key)
ORDER BY identifier COLLATE "C"
ON CONFLICT (table_id, identifier) DO NOTHING

-- name: branch_name_keys
-- Remembers that the import names these keys. $1 branch, $2 keys as text.
INSERT INTO branch_key (table_id, key, existed, named)
SELECT $1, key, false, true
FROM unnest($2::text::text[]) AS given (key)
ORDER BY key COLLATE "C"
ON CONFLICT (table_id, key) DO UPDATE
SET named = true
WHERE NOT branch_key.named

-- name: branch_count_unnamed
-- How many records a table has, and how many of them the import does not name. $1 branch, $2 the table.
SELECT
    count(*) AS records,
    count(*) FILTER (WHERE named.key IS NULL) AS unnamed,
    EXISTS (SELECT FROM branch_key WHERE table_id = $1 AND key = '') AS any_unknown
FROM record
LEFT JOIN branch_key AS named ON named.table_id = $1
    AND named.key = record.key
    AND named.named
WHERE record.table_id = $2
