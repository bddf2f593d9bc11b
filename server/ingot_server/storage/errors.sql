-- name: error_group_add
-- Adds to the groups of a batch, in their order, so that two writers cannot deadlock. A code gets groups for the first
-- $8 fields that came with it; the errors of all others are counted without a field. $1 import, $2 batch, $3 stage,
-- $4 codes, $5 fields, $6 counts, $7 examples or NULL, all in the order in which they came, $8 fields per code.
WITH known AS (
    SELECT code, field
    FROM error_group
    WHERE import_id = $1
      AND batch_seq = $2
      AND stage = $3
      AND field <> ''
),
added AS (
    SELECT
        given.*,
        known.field IS NOT NULL AS is_known,
        count(*) FILTER (WHERE known.field IS NULL AND given.field <> '')
            OVER (PARTITION BY given.code ORDER BY ordinal ROWS UNBOUNDED PRECEDING) AS new_fields,
        coalesce(known_fields, 0) AS known_fields
    FROM unnest($4::integer[], $5::text[], $6::bigint[], $7::jsonb[]) WITH ORDINALITY
        AS given (code, field, error_count, example, ordinal)
    LEFT JOIN known ON known.code = given.code AND known.field = given.field COLLATE "C"
    LEFT JOIN (SELECT code, count(*) AS known_fields FROM known GROUP BY code) AS of_code ON of_code.code = given.code
),
placed AS (
    SELECT
        code,
        CASE WHEN is_known OR known_fields + new_fields <= $8::bigint THEN field ELSE '' END COLLATE "C" AS field,
        error_count,
        example,
        ordinal
    FROM added
)
INSERT INTO error_group (import_id, batch_seq, stage, code, field, error_count, example)
SELECT
    $1, $2, $3, code, field, sum(error_count),
    -- Without an example the group is an old one, which has its own; but NOT NULL is looked at before the conflict.
    coalesce((array_agg(example ORDER BY ordinal) FILTER (WHERE example IS NOT NULL))[1], '{}')
FROM placed
GROUP BY code, field
ORDER BY code, field
ON CONFLICT (import_id, batch_seq, stage, code, field) DO UPDATE
SET error_count = error_group.error_count + excluded.error_count

-- name: error_count_stored
-- How many errors and warnings of an import are in the full list. $1 import.
SELECT
    coalesce(sum(errors_stored), 0)::bigint AS errors_stored,
    coalesce(sum(warnings_stored), 0)::bigint AS warnings_stored
FROM batch
WHERE import_id = $1

-- name: error_group_list
-- The groups of an import, or of one of its batches if $2 is not empty: of each stage the most frequent, these first.
-- $1 import, $2 batch id, $3 how many of a stage.
WITH summed AS (
    SELECT stage, code, field, sum(error_count)::bigint AS error_count, min(batch_seq) AS first_batch_seq
    FROM error_group
    WHERE import_id = $1
      AND ($2 = '' OR batch_seq = (SELECT batch_seq FROM batch WHERE import_id = $1 AND batch_id = $2))
    GROUP BY stage, code, field
),
ranked AS (
    SELECT *, row_number() OVER (PARTITION BY stage ORDER BY error_count DESC, code, field) AS rank
    FROM summed
)
-- The examples are large: only those of the groups that are shown are fetched.
SELECT ranked.stage, ranked.code, ranked.field, ranked.error_count, batch_id, example
FROM ranked
JOIN error_group ON import_id = $1
    AND batch_seq = first_batch_seq
    AND error_group.stage = ranked.stage
    AND error_group.code = ranked.code
    AND error_group.field = ranked.field
JOIN batch USING (import_id, batch_seq)
WHERE rank <= $3
ORDER BY ranked.stage, rank

-- name: error_forget
-- Forgets the errors of a stage. $1 import, $2 stage.
DELETE FROM record_error
WHERE import_id = $1
  AND stage = $2

-- name: error_group_forget
-- Forgets the groups of a stage. $1 import, $2 stage.
DELETE FROM error_group
WHERE import_id = $1
  AND stage = $2

-- name: error_count_listed
-- How many errors of an import are in the full list. $1 import.
SELECT count(*)
FROM record_error
WHERE import_id = $1

-- name: error_count_nameless
-- How many errors were found in records as they arrived, but for those with codes $2, and how many files could not be
-- fetched. $1 import.
SELECT coalesce(sum(error_count), 0)::bigint
    + (SELECT count(*) FROM batch WHERE import_id = $1 AND status_message <> '')
FROM error_group
WHERE import_id = $1
  AND stage <> 2
  AND code <> ALL($2::integer[])

-- name: error_list
-- A page of an import's errors. $1 account, $2 import, $3 batch id or '', $4 stage or 0, $5 code or 0, $6 field or '',
-- $7 severity or 0, $8, $9 and $10 batch, index and ordinal of the last error of the page before, $11 how many. A
-- warning is a matter of its code, 1114.
--
-- Subqueries, not joins: with a join the generic plan reads the errors of the import from the first for each page.
SELECT
    batch_seq,
    (SELECT batch_id FROM batch WHERE batch.batch_seq = record_error.batch_seq) AS batch_id,
    record_index, ordinal, stage, code, field, key, message, raw, raw_truncated, line
FROM record_error
WHERE import_id = (SELECT import_id FROM import WHERE account_id = $1 AND import_id = $2)
  AND ($3 = '' OR batch_seq = (SELECT batch_seq FROM batch WHERE import_id = $2 AND batch_id = $3))
  AND ($4 = 0 OR stage = $4 OR $4 = 2 AND stage = 3)
  AND ($5 = 0 OR code = $5)
  AND ($6 = '' OR field = $6)
  AND ($7 = 0 OR (code = 1114) = ($7 = 2))
  AND (batch_seq, record_index, ordinal) > ($8, $9, $10)
ORDER BY import_id, batch_seq, record_index, ordinal
LIMIT $11
