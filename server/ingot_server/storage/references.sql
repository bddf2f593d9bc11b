-- name: reference_claim
-- Leases a batch of the account of which the fewest are being fetched; of those, the one that has waited longest.
-- $1 lease, $2 accounts that have as many under way as they may.
--
-- Not one that others must be processed before, and that are not whole: what is received of it would lie in the queue,
-- which may have no room for the others then.
WITH busy AS (
    SELECT account_id, count(*) AS batches
    FROM batch
    JOIN import USING (import_id)
    WHERE source IS NOT NULL
      AND NOT finished
      AND NOT closed
      AND fetch_lease_until >= clock_timestamp()
    GROUP BY account_id
),
candidate AS (
    SELECT batch_seq
    FROM batch
    JOIN import USING (import_id)
    LEFT JOIN busy USING (account_id)
    WHERE source IS NOT NULL
      AND NOT finished
      AND NOT closed
      AND fetch_lease_until < clock_timestamp()
      AND account_id <> ALL($2::bigint[])
      AND NOT EXISTS (
        SELECT FROM batch AS earlier
        WHERE earlier.batch_seq = ANY(batch.waits_for)
          AND NOT earlier.finished
      )
    ORDER BY coalesce(busy.batches, 0), fetch_lease_until
    LIMIT 1
    FOR UPDATE OF batch SKIP LOCKED
)
UPDATE batch
SET fetch_lease_until = clock_timestamp() + $1::interval, fetch_generation = fetch_generation + 1
FROM candidate, import
WHERE batch.batch_seq = candidate.batch_seq
  AND import.import_id = batch.import_id
RETURNING batch.batch_seq, batch.batch_id, batch.import_id, batch.fetch_generation, import.account_id

-- name: reference_extend_lease
-- Keeps a lease; no row if it is not to go on. $1 batch, $2 generation, $3 lease.
UPDATE batch
SET fetch_lease_until = clock_timestamp() + $3::interval
WHERE batch_seq = $1
  AND fetch_generation = $2
  AND NOT closed

-- name: reference_release
-- Gives a batch back, behind those that have waited longer. $1 batch, $2 generation.
UPDATE batch
SET fetch_lease_until = clock_timestamp()
WHERE batch_seq = $1
  AND fetch_generation = $2

-- name: reference_release_all
-- Takes all leases back: whoever held them is known to be gone.
UPDATE batch
SET fetch_lease_until = clock_timestamp(), fetch_generation = fetch_generation + 1
WHERE source IS NOT NULL
  AND NOT finished
  AND fetch_lease_until > clock_timestamp()

-- name: reference_set_version
-- Remembers which version of a file is being fetched. $1 batch, $2 generation, $3 version.
UPDATE batch
SET source = source || jsonb_build_object('version', $3::text)
WHERE batch_seq = $1
  AND fetch_generation = $2

-- name: reference_note_failure
-- Counts a failure that nobody foresaw, if the lease is still ours. $1 batch, $2 generation.
UPDATE batch
SET fetch_failures = fetch_failures + 1
WHERE batch_seq = $1
  AND fetch_generation = $2
RETURNING fetch_failures

-- name: reference_fail
-- Ends a batch that cannot be fetched, if the lease is still ours; what was received of it stays. $1 batch, $2 generation,
-- $3 message.
UPDATE batch
SET finished = true, status_message = $3, source = source - 'query', update_time = clock_timestamp()
WHERE batch_seq = $1
  AND fetch_generation = $2
  AND NOT finished
  AND NOT closed
