-- name: import_get
-- One import. $1 account, $2 import id.
SELECT *
FROM import_report
WHERE account_id = $1
  AND import_id = $2

-- name: import_expect
-- A row if the account has the import. $1 account, $2 import id.
SELECT validate_only, NOT validate_only AND (mode = 'DELETE' OR max_deleted_ratio IS NOT NULL) AS deletes
FROM import
WHERE account_id = $1
  AND import_id = $2

-- name: import_get_many
-- The imports that are being watched. $1 import ids.
SELECT *
FROM import_report
WHERE import_id = ANY($1::bigint[])

-- name: import_get_due
-- One import, if it may be time to end it. $1 import id.
--
-- The report looks at all batches, and this is asked for after each of them: so it is asked for only if the import has a
-- budget of errors, or no batch is left that is not done.
SELECT *
FROM import_report
WHERE import_id = $1
  AND (
    state = 'CANCELLING'
    OR NOT committing
    AND state IN ('RECEIVING', 'PROCESSING')
    AND (
        max_errors IS NOT NULL
        OR max_error_ratio IS NOT NULL
        OR state = 'PROCESSING'
            AND NOT EXISTS (
                SELECT FROM batch
                WHERE batch.import_id = import_report.import_id
                  AND NOT (finished AND chunks_done = chunks_received)
            )
    )
  )

-- name: import_list
-- A page of imports, newest first; NULL switches a filter off. $1 account, $2 the last import id of the page before,
-- $3 table name, $4 states, $5 created from, $6 created before, $7 labels, $8 how many.
SELECT *
FROM import_report
WHERE account_id = $1
  AND import_id < $2
  AND ($3::text IS NULL OR table_name = $3)
  AND ($4::text[] IS NULL OR state = ANY($4))
  AND ($5::timestamptz IS NULL OR create_time >= $5)
  AND ($6::timestamptz IS NULL OR create_time < $6)
  AND ($7::jsonb IS NULL OR labels @> $7)
ORDER BY import_id DESC
LIMIT $8

-- name: import_lock
-- The state of an import, which nobody else changes until we are done. $1 account, $2 import id.
--
-- NO KEY: a commit refers to the import in the errors that it adds, and whoever cancels it must not wait for its end.
SELECT state
FROM import
WHERE account_id = $1
  AND import_id = $2
FOR NO KEY UPDATE
