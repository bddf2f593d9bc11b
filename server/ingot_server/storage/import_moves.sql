-- name: import_lock_by_id
-- As import_lock. $1 import id.
SELECT
FROM import
WHERE import_id = $1
FOR NO KEY UPDATE

-- name: import_set_state
-- Moves an import that is locked. $1 import id, $2 state.
UPDATE import
SET state = $2, state_message = '', update_time = now()
WHERE import_id = $1

-- name: import_first_unfinished_batch
-- A batch that its sender has not finished. $1 import id.
SELECT batch_id, committed_offset
FROM batch
WHERE import_id = $1
  AND NOT finished
  AND source IS NULL
ORDER BY batch_seq
LIMIT 1

-- name: import_settle
-- Ends an import that is not being committed. $1 import id, $2 the states it may be in, $3 final state, $4 message,
-- $5 how many records a full replacement would delete.
UPDATE import
SET state = $3, state_message = $4, removed = $5, update_time = clock_timestamp(), finish_time = clock_timestamp()
WHERE import_id = $1
  AND state = ANY($2::text[])
  AND (NOT committing OR $3 = 'CANCELLED')

-- name: import_set_message
-- Says more about an import that our transaction has just ended. $1 import id, $2 message.
UPDATE import
SET state_message = $2
WHERE import_id = $1

-- name: import_forget_trial
-- Counts the records of an import that was tried and not committed as not processed. $1 import id.
UPDATE batch
SET created = 0, updated = 0, unchanged = 0, superseded = 0, skipped = 0, deleted = 0
WHERE import_id = $1

-- name: import_drop_branch
-- Marks the branch of an import as deleted; it is cleared away later. $1 import id.
UPDATE record_table
SET delete_time = now()
WHERE table_id = (SELECT branch_id FROM import WHERE import_id = $1)
  AND delete_time IS NULL

-- name: import_forget_branch
-- Lets the branch of an import go, if it is not all that the import has of a table. $1 import id.
UPDATE import
SET branch_id = NULL
WHERE import_id = $1
  AND branch_id <> table_id

-- name: import_await_commit
-- Stops a staged import before its commit. $1 import id, $2 message, $3 how many records it would remove.
UPDATE import
SET state = 'AWAITING_COMMIT', state_message = $2, removed = $3, update_time = clock_timestamp()
WHERE import_id = $1
  AND state = 'PROCESSING'
  AND NOT committing

-- name: import_begin_commit
-- Lets an import be committed. $1 import id, $2 the state it must be in.
UPDATE import
SET state = 'PROCESSING', state_message = '', committing = true, commit_lease_until = clock_timestamp(),
    update_time = clock_timestamp()
WHERE import_id = $1
  AND state = $2
  AND NOT committing

-- name: import_cancel_abandoned
-- Begins to cancel imports that nobody has gone on with. $1 for how long, $2 message.
UPDATE import
SET state = 'CANCELLING', state_message = $2, update_time = now()
WHERE finish_time IS NULL
  AND state IN ('RECEIVING', 'AWAITING_COMMIT')
  AND update_time < now() - $1::interval
  AND NOT EXISTS (
    SELECT FROM batch
    WHERE batch.import_id = import.import_id
      AND batch.update_time >= now() - $1::interval
  )

-- name: import_close_batches
-- Shuts the batches of a cancelled import, or of one that is given up. Waits for whoever is committing to one; after it,
-- nobody can. $1 import id, $2 whether it is given up.
UPDATE batch
SET closed = true, given_up = $2, lease_generation = lease_generation + 1, source = source - 'query',
    update_time = clock_timestamp()
WHERE import_id = $1
  AND NOT closed

-- name: import_list_due
-- Imports whose end is due: cancelled ones, those whose last chunk is processed, and those that have spent their budget.
SELECT import_id
FROM import
WHERE finish_time IS NULL
  AND (
    state = 'CANCELLING'
    OR (
        state = 'PROCESSING'
        AND NOT committing
        AND NOT EXISTS (
            SELECT FROM batch
            WHERE batch.import_id = import.import_id
              AND (chunks_done < chunks_received OR NOT finished)
        )
    )
    OR (
        state IN ('RECEIVING', 'PROCESSING')
        AND NOT committing
        AND max_errors < (
            SELECT sum(upload_rejected + processing_rejected)
            FROM batch
            WHERE batch.import_id = import.import_id
        )
    )
  )
ORDER BY import_id
LIMIT 1000

-- name: import_delete
-- Deletes an import with its batches, errors and error groups; chunks go before. $1 import id.
WITH listed AS (
    DELETE FROM record_error
    WHERE import_id = $1
)
DELETE FROM import
WHERE import_id = $1
