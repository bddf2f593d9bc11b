-- name: lease_claim
-- Leases the batch that has waited longest, of the account whose turn it is. $1 lease, $2 accounts that were served, the
-- one that was served longest ago first; those that are not among them come before it. $3 not those that wait since
-- before this time, which are known to be none, or NULL.
--
-- While somebody keeps a transaction open, whatever was true of a batch since then is in the index and must be read. So
-- the index is not read from its beginning, but from $3.
-- SKIP LOCKED: a batch whose row is being updated is being worked on, or will be offered again in a moment.
WITH candidate AS (
    SELECT batch_seq
    FROM batch
    JOIN import USING (import_id)
    WHERE chunks_done < chunks_received
      AND NOT closed
      AND lease_until < clock_timestamp()
      AND lease_until >= coalesce($3::timestamptz, '-infinity')
      AND NOT EXISTS (
        SELECT FROM batch AS earlier
        WHERE earlier.batch_seq = ANY(batch.waits_for)
          AND (earlier.chunks_done < earlier.chunks_received OR NOT earlier.finished)
      )
    ORDER BY array_position($2::bigint[], account_id) NULLS FIRST, lease_until
    LIMIT 1
    FOR UPDATE OF batch SKIP LOCKED
)
UPDATE batch
SET lease_until = clock_timestamp() + $1::interval, lease_generation = lease_generation + 1
FROM candidate, import, record_table
WHERE batch.batch_seq = candidate.batch_seq
  AND import.import_id = batch.import_id
  AND record_table.table_id = coalesce(import.branch_id, import.table_id)
RETURNING
    batch.batch_seq,
    batch.import_id,
    batch.lease_generation,
    batch.chunks_done,
    CASE WHEN batch.finished THEN batch.chunks_received END AS chunks_total,
    import.account_id,
    import.table_id,
    import.branch_id,
    import.key_fields,
    import.rules,
    import.mode,
    import.max_deleted_ratio IS NOT NULL AS reconciles,
    batch.updated + batch.unchanged + batch.superseded = 0 AS all_new,
    batch.created = 0 AS none_new,
    import.max_errors IS NOT NULL OR import.max_error_ratio IS NOT NULL AS has_budget,
    record_table.key_fields AS table_key_fields

-- name: lease_waiting_since
-- Since when the batch has waited for its turn that has waited longest; not later than the beginning of transactions of
-- which nothing is to be seen yet. $1 not before which time to look, or NULL, $2 how long a transaction may take.
SELECT least(min(lease_until), clock_timestamp() - $2::interval)
FROM batch
WHERE chunks_done < chunks_received
  AND NOT closed
  AND lease_until >= coalesce($1::timestamptz, '-infinity')

-- name: lease_extend
-- Keeps a lease. $1 batch, $2 lease generation, $3 lease.
UPDATE batch
SET lease_until = clock_timestamp() + $3::interval
WHERE batch_seq = $1
  AND lease_generation = $2

-- name: lease_release_all
-- Takes all leases back: whoever held them is known to be gone.
UPDATE batch
SET lease_until = clock_timestamp(), lease_generation = lease_generation + 1
WHERE lease_until > clock_timestamp()

-- name: lease_release
-- Gives a batch back, behind those that have waited longer. $1 batch, $2 lease generation.
UPDATE batch
SET lease_until = clock_timestamp()
WHERE batch_seq = $1
  AND lease_generation = $2

-- name: lease_note_failure
-- Counts a failure that nobody foresaw, if the lease is still ours. $1 batch, $2 lease generation.
UPDATE batch
SET failures = failures + 1
WHERE batch_seq = $1
  AND lease_generation = $2
RETURNING failures

-- name: lease_settle_chunk
-- Counts a chunk as done, if the lease is still ours. $1 batch, $2 lease generation, $3 created, $4 updated,
-- $5 unchanged, $6 superseded, $7 rejected, $8 skipped, $9 deleted, $10 errors stored, $11 warnings stored.
UPDATE batch
SET created = created + $3,
    updated = updated + $4,
    unchanged = unchanged + $5,
    superseded = superseded + $6,
    processing_rejected = processing_rejected + $7,
    skipped = skipped + $8,
    deleted = deleted + $9,
    errors_stored = errors_stored + $10,
    warnings_stored = warnings_stored + $11,
    chunks_done = chunks_done + 1,
    failures = 0,
    update_time = clock_timestamp()
WHERE batch_seq = $1
  AND lease_generation = $2
  AND NOT closed
