-- name: commit_claim
-- Leases the import that has waited longest to be committed, of the account whose turn it is. $1 lease, $2 accounts that
-- were served, the one that was served longest ago first; those that are not among them come before it. $3 how many
-- records the import may have, and then it may be no full replacement either, which looks at the whole table; or NULL.
--
-- Not while another is being committed to the same table: each would have to wait for the whole of the other.
WITH candidate AS (
    SELECT import_id
    FROM import
    WHERE committing
      AND finish_time IS NULL
      AND state = 'PROCESSING'
      AND commit_lease_until < clock_timestamp()
      AND NOT EXISTS (
        SELECT FROM import AS other
        WHERE other.committing
          AND other.finish_time IS NULL
          AND other.state = 'PROCESSING'
          AND other.commit_lease_until >= clock_timestamp()
          AND other.table_id = import.table_id
      )
      AND (
        $3::bigint IS NULL
        OR max_deleted_ratio IS NULL
        AND (SELECT sum(upload_accepted) FROM batch WHERE batch.import_id = import.import_id) <= $3
      )
    ORDER BY array_position($2::bigint[], account_id) NULLS FIRST, commit_lease_until
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
UPDATE import
SET commit_lease_until = clock_timestamp() + $1::interval,
    commit_generation = commit_generation + 1,
    commit_processed = 0
FROM candidate, record_table
WHERE import.import_id = candidate.import_id
  AND record_table.table_id = import.table_id
RETURNING
    import.import_id,
    import.account_id,
    import.table_id,
    import.commit_generation,
    import.key_fields,
    import.rules,
    import.mode,
    import.max_deleted_ratio,
    record_table.key_fields AS table_key_fields

-- name: commit_extend_lease
-- Keeps a lease, and tells how far the commit has come; no row if it is not to go on. $1 import id, $2 generation,
-- $3 lease, $4 how many records are processed.
UPDATE import
SET commit_lease_until = clock_timestamp() + $3::interval,
    commit_processed = greatest(commit_processed, $4),
    update_time = clock_timestamp()
WHERE import_id = $1
  AND commit_generation = $2
  AND state = 'PROCESSING'

-- name: commit_release
-- Gives an import back, to be committed later. $1 import id, $2 generation.
UPDATE import
SET commit_lease_until = clock_timestamp()
WHERE import_id = $1
  AND commit_generation = $2

-- name: commit_release_all
-- Takes all leases back: whoever held them is known to be gone.
UPDATE import
SET commit_lease_until = clock_timestamp(), commit_generation = commit_generation + 1
WHERE committing
  AND commit_lease_until > clock_timestamp()

-- name: commit_note_failure
-- Counts a failure that nobody foresaw, if the lease is still ours. $1 import id, $2 generation.
UPDATE import
SET commit_failures = commit_failures + 1
WHERE import_id = $1
  AND commit_generation = $2
RETURNING commit_failures

-- name: commit_list_batches
-- The batches of an import, in an order in which those that wait for others come after these. $1 import id.
SELECT batch_seq
FROM batch
WHERE import_id = $1
ORDER BY batch_seq

-- name: commit_settle_batch
-- Says what has become of the records of a batch in the end. $1 batch, $2 created, $3 updated, $4 unchanged,
-- $5 superseded, $6 rejected, $7 skipped, $8 deleted.
UPDATE batch
SET created = $2,
    updated = $3,
    unchanged = $4,
    superseded = $5,
    processing_rejected = $6,
    skipped = $7,
    deleted = $8,
    update_time = clock_timestamp()
WHERE batch_seq = $1
  AND NOT closed

-- name: commit_settle
-- Ends an import with its commit; no row if it is no longer ours. $1 import id, $2 generation, $3 final state, $4 message,
-- $5 how many records were removed.
UPDATE import
SET state = $3, state_message = $4, removed = $5, update_time = clock_timestamp(), finish_time = clock_timestamp()
WHERE import_id = $1
  AND commit_generation = $2
  AND state = 'PROCESSING'

-- name: commit_is_settled
-- A row if an import has ended with this commit. $1 import id, $2 generation.
SELECT
FROM import
WHERE import_id = $1
  AND commit_generation = $2
  AND state IN ('SUCCEEDED', 'PARTIALLY_SUCCEEDED')

-- name: commit_refuse
-- Ends an import that must not be committed. $1 import id, $2 generation, $3 message.
UPDATE import
SET state = 'FAILED', state_message = $3, removed = 0, update_time = clock_timestamp(), finish_time = clock_timestamp()
WHERE import_id = $1
  AND commit_generation = $2
  AND state = 'PROCESSING'

-- name: commit_stage_names
-- A place for the keys that the records of one commit name, made once per session.
CREATE TEMPORARY TABLE IF NOT EXISTS named_key (
    key text COLLATE "C" PRIMARY KEY
) ON COMMIT DELETE ROWS

-- name: commit_add_names
-- Adds keys. $1 keys as text.
INSERT INTO named_key (key)
SELECT key
FROM unnest($1::text::text[]) AS given (key)
ON CONFLICT DO NOTHING

-- name: commit_count_unnamed
-- How many records a table has, and how many of them are not named. $1 table id.
SELECT count(*) AS records, count(*) FILTER (WHERE named_key.key IS NULL) AS unnamed
FROM record
LEFT JOIN named_key ON named_key.key = record.key
WHERE table_id = $1

-- name: commit_delete_unnamed
-- Deletes the records that are not named. $1 table id.
DELETE FROM record
WHERE table_id = $1
  AND NOT EXISTS (SELECT FROM named_key WHERE named_key.key = record.key)

-- name: commit_delete_identifiers
-- Deletes the identifiers of records that are not named. $1 table id.
DELETE FROM record_identifier
WHERE table_id = $1
  AND NOT EXISTS (SELECT FROM named_key WHERE named_key.key = record_identifier.key)
