-- name: batch_create
-- Makes a batch, unless it exists or its import takes no more; the import's state, and the batch's number if it was made.
-- $1 account, $2 import id, $3 batch id, $4 what the server is to fetch or NULL, $5 format or NULL, $6 unit or NULL,
-- $7 a batch that it waits for in any case or NULL.
--
-- Waiting is transitive: it waits for those that are finished and not processed, and that none of these waits for.
WITH owner AS (
    SELECT import_id, state
    FROM import
    WHERE account_id = $1
      AND import_id = $2
    -- Keeps the import from being finished before the batch is there to be seen.
    FOR SHARE
),
unprocessed AS (
    SELECT batch_seq, waits_for
    FROM batch
    WHERE import_id = $2
      AND finished
      AND chunks_done < chunks_received
),
made AS (
    INSERT INTO batch (import_id, batch_id, source, format, unit, waits_for)
    SELECT import_id, $3, $4, $5, $6, array_remove(first.batch_seqs || $7::bigint, NULL)
    FROM owner
    CROSS JOIN (
        SELECT coalesce(array_agg(batch_seq), '{}') AS batch_seqs
        FROM unprocessed
        WHERE batch_seq NOT IN (SELECT unnest(waits_for) FROM unprocessed)
    ) AS first
    WHERE state = 'RECEIVING'
    ON CONFLICT (import_id, batch_id) DO NOTHING
    RETURNING batch_seq
)
SELECT state, (SELECT batch_seq FROM made) AS batch_seq
FROM owner

-- name: batch_open
-- What a stream must know of the batch it goes on with. $1 account, $2 import id, $3 batch id.
SELECT
    batch_seq,
    unit,
    batch.format,
    decoder_state,
    expected_total,
    committed_offset,
    finished,
    closed,
    given_up,
    upload_accepted + upload_rejected AS received,
    source,
    import.state,
    import.state_message,
    import.key_fields,
    import.known_key_fields,
    import.rules
FROM batch
JOIN import USING (import_id)
WHERE import.account_id = $1
  AND import_id = $2
  AND batch_id = $3

-- name: batch_append
-- Moves the committed offset on, if nobody else did. $1 batch, $2 the offset as we know it, $3 new offset, $4 unit,
-- $5 format, $6 decoder state, $7 accepted, $8 rejected, $9 expected total, $10 chunks added (0 or 1),
-- $11 errors stored, $12 bytes of the accepted records, $13 whether it takes nothing more: then the new offset is the
-- total. $14 for how long to leave it unprocessed if this is its first chunk, unless it is finished before.
UPDATE batch
SET committed_offset = $3::bigint,
    finished = $13::boolean,
    source = CASE WHEN $13 THEN source - 'query' ELSE source END,
    unit = $4,
    format = $5,
    decoder_state = $6,
    upload_accepted = upload_accepted + $7,
    upload_rejected = upload_rejected + $8,
    expected_total = CASE WHEN $13 THEN $3::bigint ELSE $9 END,
    chunks_received = chunks_received + $10,
    -- It waits for its turn since there is something to process, and not since it was made.
    lease_until = CASE
        WHEN chunks_received = 0 THEN clock_timestamp() + $14::interval
        WHEN chunks_done = chunks_received THEN greatest(lease_until, clock_timestamp())
        -- Nobody had a lease that it could be the end of.
        WHEN $13 AND lease_generation = 0 THEN least(lease_until, clock_timestamp())
        ELSE lease_until
    END,
    errors_stored = errors_stored + $11,
    received_bytes = received_bytes + $12,
    update_time = clock_timestamp()
WHERE batch_seq = $1
  AND committed_offset = $2
  AND NOT finished
  AND NOT closed
RETURNING chunks_received

-- name: batch_get
-- One batch. $1 account, $2 import id, $3 batch id.
SELECT batch_report.*
FROM batch_report
JOIN import USING (import_id)
WHERE import.account_id = $1
  AND import_id = $2
  AND batch_id = $3

-- name: batch_get_many
-- The batches that are being watched. $1 batch numbers.
SELECT *
FROM batch_report
WHERE batch_seq = ANY($1::bigint[])

-- name: batch_list
-- A page of an import's batches in the order of creation. $1 account, $2 import id, $3 the last batch number of the
-- page before, $4 how many.
SELECT batch_report.*
FROM batch_report
JOIN import USING (import_id)
WHERE import.account_id = $1
  AND import_id = $2
  AND batch_seq > $3
ORDER BY batch_seq
LIMIT $4

-- name: batch_claim
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
    import.max_errors IS NOT NULL OR import.max_error_ratio IS NOT NULL AS has_budget,
    record_table.key_fields AS table_key_fields

-- name: batch_waiting_since
-- Since when the batch has waited for its turn that has waited longest; not later than the beginning of transactions of
-- which nothing is to be seen yet. $1 not before which time to look, or NULL, $2 how long a transaction may take.
SELECT least(min(lease_until), clock_timestamp() - $2::interval)
FROM batch
WHERE chunks_done < chunks_received
  AND NOT closed
  AND lease_until >= coalesce($1::timestamptz, '-infinity')

-- name: batch_extend_lease
-- Keeps a lease. $1 batch, $2 lease generation, $3 lease.
UPDATE batch
SET lease_until = clock_timestamp() + $3::interval
WHERE batch_seq = $1
  AND lease_generation = $2

-- name: batch_release_all
-- Takes all leases back: whoever held them is known to be gone.
UPDATE batch
SET lease_until = clock_timestamp(), lease_generation = lease_generation + 1
WHERE lease_until > clock_timestamp()

-- name: batch_release
-- Gives a batch back, behind those that have waited longer. $1 batch, $2 lease generation.
UPDATE batch
SET lease_until = clock_timestamp()
WHERE batch_seq = $1
  AND lease_generation = $2

-- name: batch_note_failure
-- Counts a failure that nobody foresaw, if the lease is still ours. $1 batch, $2 lease generation.
UPDATE batch
SET failures = failures + 1
WHERE batch_seq = $1
  AND lease_generation = $2
RETURNING failures

-- name: batch_settle_chunk
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
