-- name: usage_get
-- How much an import has received, and how much of its account waits to be processed. $1 account, $2 import id.
SELECT
    coalesce(sum(upload_accepted + upload_rejected) FILTER (WHERE import_id = $2), 0)::bigint AS records,
    coalesce(sum(received_bytes) FILTER (WHERE import_id = $2), 0)::bigint AS bytes,
    coalesce(
        sum(received_bytes::float8 * (chunks_received - chunks_done) / chunks_received)
            FILTER (WHERE chunks_done < chunks_received AND NOT closed),
        0
    )::bigint AS queued_bytes
FROM import
JOIN batch USING (import_id)
WHERE account_id = $1
  AND finish_time IS NULL
