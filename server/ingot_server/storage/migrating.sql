-- name: lock_try
-- Whether the lock of the migrations is ours now; it belongs to the session. $1 key of the lock.
SELECT pg_try_advisory_lock($1)

-- name: lock_release
-- Gives the lock of the migrations back. $1 key of the lock.
SELECT pg_advisory_unlock($1)

-- name: table_exists
-- Whether any migration was ever applied here.
SELECT to_regclass('schema_migration') IS NOT NULL

-- name: table_ensure
-- What was applied to this database. `digest` is the SHA-256 of the file.
CREATE TABLE IF NOT EXISTS schema_migration (
    number integer PRIMARY KEY,
    name text NOT NULL,
    digest text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)

-- name: applied_list
-- All that was applied, in order.
SELECT number, name, digest
FROM schema_migration
ORDER BY number

-- name: applied_add
-- Notes a migration, in its own transaction. $1 number, $2 name, $3 digest.
INSERT INTO schema_migration (number, name, digest)
VALUES ($1, $2, $3)
