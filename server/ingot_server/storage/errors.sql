-- name: error_group_add
-- Adds to the groups of a batch, in their order, so that two writers cannot deadlock. $1 import, $2 batch, $3 stage,
-- $4 codes, $5 fields, $6 counts, $7 examples.
INSERT INTO error_group (import_id, batch_seq, stage, code, field, error_count, example)
SELECT $1, $2, $3, code, field, error_count, example
FROM unnest($4::integer[], $5::text[], $6::bigint[], $7::jsonb[]) AS added (code, field, error_count, example)
ORDER BY code, field
ON CONFLICT (import_id, batch_seq, stage, code, field) DO UPDATE
SET error_count = error_group.error_count + excluded.error_count

-- name: error_count_stored
-- How many errors of an import are in the full list. $1 import.
SELECT coalesce(sum(errors_stored), 0)::bigint
FROM batch
WHERE import_id = $1

-- name: error_group_list
-- The groups of an import, or of one of its batches if $2 is not empty, most frequent first. $1 import, $2 batch id.
SELECT stage, code, field, sum(error_count)::bigint AS error_count,
    (array_agg(example || jsonb_build_object('batch_id', batch_id) ORDER BY batch_seq))[1] AS example
FROM error_group
JOIN batch USING (import_id, batch_seq)
WHERE import_id = $1
  AND ($2 = '' OR batch_id = $2)
GROUP BY stage, code, field
ORDER BY error_count DESC, stage, code, field
LIMIT 100

-- name: error_list
-- A page of an import's errors. $1 account, $2 import, $3 batch id or '', $4 stage or 0, $5 code or 0, $6 field or '',
-- $7, $8 and $9 batch, index and ordinal of the last error of the page before, $10 how many.
SELECT
    batch_seq, batch_id, record_index, ordinal, stage, code, field, key, message, raw, raw_truncated, line
FROM record_error
JOIN batch USING (import_id, batch_seq)
JOIN import USING (import_id)
WHERE import.account_id = $1
  AND import_id = $2
  AND ($3 = '' OR batch_id = $3)
  AND ($4 = 0 OR stage = $4)
  AND ($5 = 0 OR code = $5)
  AND ($6 = '' OR field = $6)
  AND (batch_seq, record_index, ordinal) > ($7, $8, $9)
ORDER BY batch_seq, record_index, ordinal
LIMIT $10
