-- name: batch_create
-- Makes a batch, unless it exists or its import takes no more; the import's state, the batch's number if it was made, and
-- whether there are too many for it. $1 account, $2 import id, $3 batch id, $4 what the server is to fetch or NULL,
-- $5 format or NULL, $6 unit or NULL, $7 a batch that it waits for in any case or NULL, $8 how many there may be, but for
-- those that are made at the same time.
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
present AS (
    SELECT count(*) AS number, bool_or(batch_id = $3) AS has_this
    FROM batch
    WHERE import_id = $2
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
    CROSS JOIN present
    WHERE state = 'RECEIVING'
      AND number < $8::bigint
    ON CONFLICT (import_id, batch_id) DO NOTHING
    RETURNING batch_seq
)
SELECT state, (SELECT batch_seq FROM made) AS batch_seq, number >= $8 AND NOT has_this AS is_full
FROM owner
CROSS JOIN present

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
-- Moves the committed offset on, if nobody else did, and makes durable what was received. $1 batch, $2 the offset as we
-- know it, $3 new offset, $4 unit, $5 format, $6 decoder state, $7 accepted, $8 rejected, $9 expected total,
-- $10 errors, $11 how many errors of an import are listed, $12 bytes of the accepted records, $13 whether it takes
-- nothing more: then the new offset is the total. $14 for how long to leave it unprocessed if this is its first chunk,
-- unless it is finished before. Of the chunk, if the payload is not NULL: $15 CRC-32 of the content, $16 runs,
-- $17 payload, $18 keys. Returns how many of the errors are to be listed.
WITH listed AS (
    SELECT least($10::bigint, greatest(0, $11::bigint - sum(other.errors_stored)::bigint)) AS errors
    FROM batch
    JOIN batch AS other USING (import_id)
    WHERE batch.batch_seq = $1
      AND $10 > 0
),
appended AS (
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
        chunks_received = chunks_received + ($17::bytea IS NOT NULL)::integer,
        -- It waits for its turn since there is something to process, and not since it was made.
        lease_until = CASE
            WHEN chunks_received = 0 THEN clock_timestamp() + $14::interval
            WHEN chunks_done = chunks_received THEN greatest(lease_until, clock_timestamp())
            -- Nobody had a lease that it could be the end of.
            WHEN $13 AND lease_generation = 0 THEN least(lease_until, clock_timestamp())
            ELSE lease_until
        END,
        errors_stored = errors_stored + (SELECT errors FROM listed),
        received_bytes = received_bytes + $12,
        update_time = clock_timestamp()
    WHERE batch_seq = $1
      AND committed_offset = $2
      AND NOT finished
      AND NOT closed
    RETURNING chunks_received
),
added AS (
    INSERT INTO chunk (
        batch_seq, chunk_index, start_offset, end_offset, content_crc32, record_count, runs, payload, keys
    )
    SELECT $1, chunks_received - 1, $2, $3, $15::bigint, $7, $16::bigint[], $17, $18::bytea
    FROM appended
    WHERE $17 IS NOT NULL
)
SELECT errors
FROM appended, listed

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
