-- name: reject_stock
-- Whether an import is over, and whether records that it rejected in processing have been deleted. $1 account, $2 import.
SELECT
    finish_time IS NOT NULL AS final,
    chunks_deleted
        AND EXISTS (SELECT FROM batch WHERE batch.import_id = import.import_id AND processing_rejected > 0) AS gone
FROM import
WHERE account_id = $1
  AND import_id = $2

-- name: reject_batch_id
-- The id of a batch. $1 its number.
SELECT batch_id
FROM batch
WHERE batch_seq = $1

-- name: reject_count_read
-- How many records of an import were rejected as they were read. $1 import.
SELECT coalesce(sum(upload_rejected), 0)::bigint
FROM batch
WHERE import_id = $1

-- name: reject_error_list
-- A page of what the list of errors says about records, but not about batches without any (code 1106). A record stands
-- once with its first error; what processing rejected is in the chunk log. $1 import, $2, $3 and $4 batch, index and
-- ordinal of the last error of the page before, $5 how many.
--
-- A subquery, not a join: with a join the generic plan reads the errors of the import from the first for each page.
SELECT
    batch_seq,
    (SELECT batch_id FROM batch WHERE batch.batch_seq = record_error.batch_seq) AS batch_id,
    record_index, ordinal, stage, field, message,
    CASE WHEN ordinal = 0 AND stage <> 2 THEN raw ELSE '' END AS raw,
    raw_truncated, line
FROM record_error
WHERE import_id = $1
  AND (batch_seq, record_index, ordinal) > ($2, $3, $4)
  AND code <> 1106
ORDER BY import_id, batch_seq, record_index, ordinal
LIMIT $5
