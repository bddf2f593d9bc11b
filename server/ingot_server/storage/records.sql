-- name: record_stage
-- A place for the records of one transaction, made once per session; emptied at each commit.
CREATE TEMPORARY TABLE IF NOT EXISTS incoming (
    key text COLLATE "C" NOT NULL,
    data jsonb NOT NULL,
    digest bigint,
    filled text[]
) ON COMMIT DELETE ROWS

-- name: record_unstage
-- Empties that place, for further records in the same transaction.
TRUNCATE incoming

-- name: record_digests
-- The records that have some keys: these and their digests, as PostgreSQL sends them, side by side and without rows of
-- their own; NULL if these are just the records asked for. $1 table id, $2 keys in order, as text, $3 the digests asked
-- for, as PostgreSQL sends them. One that is not known is told as 0.
--
-- ANY with all keys is a single scan of the index, in which neighbours cost next to nothing. There is no join, because
-- for 5,000 keys and as many records the planner may choose to try all pairs. And the table is not known when the plan
-- is made: else an index of one of its fields may be taken, or, of a table that is new, all of its records looked at.
WITH found AS (
    SELECT
        coalesce(array_agg(key ORDER BY key), '{}') AS keys,
        coalesce(string_agg(int8send(coalesce(digest, 0)), '' ORDER BY key), '') AS digests
    FROM record
    WHERE table_id = (SELECT $1::bigint)
      AND key = ANY($2::text::text[])
)
SELECT keys, digests
FROM found
WHERE digests <> $3::bytea

-- name: record_take_out
-- Takes records out of the table, to be run in `looking_up_many`, in order: how many they were, how many of them this
-- writer has written, their keys with commas between them, and when they were created and what their data is like, as
-- PostgreSQL sends both. $1 table id, $2 keys as text, $3 writer.
--
-- They come in the order of the index. To sort them takes a tenth of the time, and to see that they are in order less.
-- The hash is that of an index on `data`: what jsonb takes for the same has the same one.
WITH taken AS (
    DELETE FROM record
    WHERE table_id = (SELECT $1::bigint)
      AND key = ANY($2::text::text[])
    RETURNING key, writer, create_time, jsonb_hash_extended(data, 0) AS hash
)
SELECT
    count(*) AS number,
    count(*) FILTER (WHERE writer = $3) AS own,
    string_agg(key, ',') AS keys,
    string_agg(timestamptz_send(create_time), '') AS create_times,
    string_agg(int8send(hash), '') AS hashes
FROM taken

-- name: record_hashes
-- What the data of records is like that are there, in the order of their keys: see record_take_out. $1 table id, $2 keys
-- as text.
SELECT string_agg(int8send(jsonb_hash_extended(data, 0)), '' ORDER BY key) AS hashes
FROM record
WHERE table_id = (SELECT $1::bigint)
  AND key = ANY($2::text::text[])

-- name: record_apply
-- Writes the staged records, each key once. $1 table id, $2 writer.
--
-- ORDER BY key: statements that lock rows in different orders deadlock.
-- The time is inserted as a value: Citus refuses now() in DO UPDATE SET.
WITH written AS (
    INSERT INTO record AS held (table_id, writer, create_time, update_time, rewritten, key, data, digest)
    SELECT $1, $2, now(), now(), false, key, data, digest
    FROM incoming
    ORDER BY key
    ON CONFLICT (table_id, key) DO UPDATE
    SET writer = excluded.writer,
        update_time = excluded.update_time,
        rewritten = held.writer = excluded.writer,
        data = excluded.data,
        digest = excluded.digest
    WHERE held.data IS DISTINCT FROM excluded.data
    RETURNING xmax = 0 AS created, rewritten
)
SELECT
    count(*) FILTER (WHERE created) AS created,
    count(*) FILTER (WHERE NOT created AND NOT rewritten) AS updated,
    count(*) FILTER (WHERE NOT created AND rewritten) AS superseded
FROM written

-- name: record_apply_few
-- As record_apply, for a few records, which are not staged. $1 table id, $2 writer, $3 keys, $4 data,
-- $5 digests, all in the same order.
WITH written AS (
    INSERT INTO record AS held (table_id, writer, create_time, update_time, rewritten, key, data, digest)
    SELECT $1, $2, now(), now(), false, key, data::jsonb, digest
    FROM unnest($3::text[], $4::text[], $5::bigint[]) AS given (key, data, digest)
    ORDER BY key COLLATE "C"
    ON CONFLICT (table_id, key) DO UPDATE
    SET writer = excluded.writer,
        update_time = excluded.update_time,
        rewritten = held.writer = excluded.writer,
        data = excluded.data,
        digest = excluded.digest
    WHERE held.data IS DISTINCT FROM excluded.data
    RETURNING xmax = 0 AS created, rewritten
)
SELECT
    count(*) FILTER (WHERE created) AS created,
    count(*) FILTER (WHERE NOT created AND NOT rewritten) AS updated,
    count(*) FILTER (WHERE NOT created AND rewritten) AS superseded
FROM written

-- name: record_apply_repeated
-- Writes further records for keys that record_apply has just written or compared, so that their rows are there.
-- $1 table id, $2 writer, $3 keys, $4 data, both in the order of the upload.
--
-- The outcome is that of applying the records one by one; only the last of each key is really written.
WITH step AS (
    SELECT
        repeated.key,
        repeated.ordinal,
        repeated.data,
        held.writer = $2 AS own,
        repeated.data IS DISTINCT FROM coalesce(
            lag(repeated.data) OVER (PARTITION BY repeated.key ORDER BY repeated.ordinal), held.data
        ) AS changes
    FROM unnest($3::text[], $4::jsonb[]) WITH ORDINALITY AS repeated (key, data, ordinal)
    JOIN record AS held ON held.table_id = $1 AND held.key = repeated.key COLLATE "C"
),
chain AS (
    SELECT
        key,
        bool_or(own) AS own,
        count(*) FILTER (WHERE changes) AS changed,
        count(*) FILTER (WHERE NOT changes) AS unchanged,
        (array_agg(data ORDER BY ordinal DESC))[1] AS data
    FROM step
    GROUP BY key
),
written AS (
    INSERT INTO record AS held (table_id, writer, create_time, update_time, rewritten, key, data)
    SELECT $1, $2, now(), now(), false, key, data
    FROM chain
    WHERE changed > 0
    ORDER BY key
    ON CONFLICT (table_id, key) DO UPDATE
    SET writer = excluded.writer,
        update_time = excluded.update_time,
        rewritten = true,
        data = excluded.data,
        digest = NULL
)
SELECT
    -- The first change of a record that this writer had not written yet is an update.
    count(*) FILTER (WHERE changed > 0 AND NOT own) AS updated,
    coalesce(sum(changed), 0)::bigint - count(*) FILTER (WHERE changed > 0 AND NOT own) AS superseded
FROM chain

-- name: record_hold
-- Some records, which nobody else changes until we are done, in the order of their keys; without their data if that is
-- too much together. $1 table id, $2 writer, $3 keys as text, $4 how many bytes are too much.
--
-- One that somebody has replaced while we waited for it is not among them: see record_take_out.
--
-- LATERAL asks for one look into the index for each: see identifiers.sql. What is not compressed is not fetched to be
-- measured.
SELECT
    found.key,
    CASE WHEN sum(found.bytes) OVER () <= $4::bigint THEN found.data END AS data,
    found.own,
    found.filled,
    sum(found.bytes) OVER () AS bytes
FROM (SELECT key COLLATE "C" AS key FROM unnest($3::text::text[]) AS given (key) ORDER BY 1) AS wanted
CROSS JOIN LATERAL (
    SELECT
        key,
        data,
        writer = $2 AS own,
        filled,
        CASE WHEN pg_column_compression(data) IS NULL THEN pg_column_size(data) ELSE octet_length(data::text) END
            AS bytes
    FROM record
    WHERE table_id = $1
      AND key = wanted.key
    LIMIT 1
    FOR UPDATE
) AS found

-- name: record_put
-- Writes the staged records, each key once, whatever the table holds; how many keys were new. $1 table id, $2 writer.
WITH written AS (
    INSERT INTO record AS held (table_id, writer, create_time, update_time, rewritten, key, data, filled)
    SELECT $1, $2, now(), now(), false, key, data, filled
    FROM incoming
    ORDER BY key
    ON CONFLICT (table_id, key) DO UPDATE
    SET writer = excluded.writer,
        update_time = excluded.update_time,
        rewritten = held.writer = excluded.writer,
        data = excluded.data,
        digest = NULL,
        filled = excluded.filled
    RETURNING xmax = 0 AS created
)
SELECT count(*) FILTER (WHERE created) AS created
FROM written

-- name: record_next_write_call
-- A number for a WriteRecords call.
SELECT nextval('write_call')

-- name: record_get
-- One record. $1 table id, $2 key.
SELECT key, data, create_time, update_time, writer
FROM record
WHERE table_id = $1
  AND key = $2

-- name: record_keys_existing
-- Which of some keys have a record in one of some tables. $1 table ids, $2 keys.
--
-- LATERAL and LIMIT ask for one look into the index for each: see identifiers.sql.
SELECT wanted.key
FROM unnest($2::text[]) AS wanted (key)
CROSS JOIN LATERAL (
    SELECT
    FROM record
    WHERE table_id = ANY($1::bigint[])
      AND key = wanted.key COLLATE "C"
    LIMIT 1
) AS found

-- name: record_keys_existing_many
-- As record_keys_existing, to be run in `looking_up_many`. $1 table ids, $2 keys as text.
SELECT array_agg(key) AS keys
FROM record
WHERE table_id = ANY($1::bigint[])
  AND key = ANY($2::text::text[])

-- name: record_list_fields
-- The texts of some fields of some records. $1 table id, $2 keys, $3 fields.
SELECT
    found.key,
    (
        SELECT array_agg(found.data ->> field.name ORDER BY field.ordinal)
        FROM unnest($3::text[]) WITH ORDINALITY AS field (name, ordinal)
    ) AS texts
FROM unnest($2::text[]) AS wanted (key)
CROSS JOIN LATERAL (
    SELECT key, data
    FROM record
    WHERE table_id = $1
      AND key = wanted.key COLLATE "C"
    LIMIT 1
) AS found

-- name: record_keys_numbered
-- The keys that are one of some keys with `~` and a number. $1 table id, $2 keys as text.
--
-- Also of one that has no record itself: it may have been deleted.
SELECT found.key
FROM unnest($2::text::text[]) AS wanted (key)
CROSS JOIN LATERAL (
    SELECT key
    FROM record
    WHERE table_id = $1
      AND key > (wanted.key || '~') COLLATE "C"
      AND key < (wanted.key || '~:') COLLATE "C"
    OFFSET 0
) AS found

-- name: record_delete
-- Deletes records by key; not one that somebody has replaced while we waited for it: see record_take_out. $1 table id,
-- $2 keys.
WITH doomed AS (
    SELECT key
    FROM record
    WHERE table_id = $1
      AND key = ANY($2::text[])
    ORDER BY key
    FOR UPDATE
)
DELETE FROM record
USING doomed
WHERE record.table_id = $1
  AND record.key = doomed.key
