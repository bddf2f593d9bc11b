-- name: import_create
-- Makes an import, unless the account has used the request id. $1 account, $2 table id, $3 key fields, $4 key fields
-- of the table, $5 kind, $6 reading, $7 rules, $8 labels, $9 request id or NULL.
INSERT INTO import (account_id, table_id, key_fields, known_key_fields, kind, reading, rules, labels, request_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (account_id, request_id) DO NOTHING
RETURNING import_id

-- name: import_find_request
-- The import that was made with a request id. $1 account, $2 request id.
SELECT *
FROM import_report
WHERE account_id = $1
  AND request_id = $2

-- name: import_get
-- One import. $1 account, $2 import id.
SELECT *
FROM import_report
WHERE account_id = $1
  AND import_id = $2

-- name: import_expect
-- A row if the account has the import. $1 account, $2 import id.
SELECT
FROM import
WHERE account_id = $1
  AND import_id = $2

-- name: import_get_many
-- The imports that are being watched. $1 import ids.
SELECT *
FROM import_report
WHERE import_id = ANY($1::bigint[])

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
SELECT state
FROM import
WHERE account_id = $1
  AND import_id = $2
FOR UPDATE

-- name: import_lock_shared
-- What a new batch must know of its import, which meanwhile cannot be finished. $1 account, $2 import id.
SELECT state
FROM import
WHERE account_id = $1
  AND import_id = $2
FOR SHARE

-- name: import_set_state
-- Moves an import that is locked. $1 import id, $2 state.
UPDATE import
SET state = $2, update_time = now()
WHERE import_id = $1

-- name: import_first_unfinished_batch
-- A batch that is not finished. $1 import id.
SELECT batch_id, committed_offset
FROM batch
WHERE import_id = $1
  AND NOT finished
ORDER BY batch_seq
LIMIT 1

-- name: import_work_is_over
-- Whether every chunk of the import's batches is processed. $1 import id.
SELECT NOT EXISTS (
    SELECT FROM batch
    WHERE import_id = $1
      AND chunks_done < chunks_received
)

-- name: import_settle
-- Ends an import. $1 import id, $2 the state it must be in, $3 final state, $4 message.
UPDATE import
SET state = $3, state_message = $4, update_time = clock_timestamp(), finish_time = clock_timestamp()
WHERE import_id = $1
  AND state = $2

-- name: import_give_up
-- Ends an import that cannot be processed. $1 import id, $2 message.
UPDATE import
SET state = 'FAILED', state_message = $2, update_time = clock_timestamp(), finish_time = clock_timestamp()
WHERE import_id = $1
  AND state IN ('RECEIVING', 'PROCESSING')

-- name: import_close_batches
-- Shuts the batches of a cancelled import, or of one that is given up. Waits for whoever is committing to one; after it,
-- nobody can. $1 import id, $2 whether it is given up.
UPDATE batch
SET closed = true, given_up = $2, lease_generation = lease_generation + 1, update_time = clock_timestamp()
WHERE import_id = $1
  AND NOT closed

-- name: import_list_due
-- Imports whose end is due: cancelled ones, and those whose last chunk is processed.
SELECT import_id
FROM import
WHERE state = 'CANCELLING'
   OR (
        state = 'PROCESSING'
        AND NOT EXISTS (
            SELECT FROM batch
            WHERE batch.import_id = import.import_id
              AND chunks_done < chunks_received
        )
    )
ORDER BY import_id
LIMIT 1000

-- name: import_delete
-- Deletes an import with its batches, errors and error groups; chunks go before. $1 import id.
DELETE FROM import
WHERE import_id = $1
