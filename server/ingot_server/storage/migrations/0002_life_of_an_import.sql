-- Write modes, rehearsals, staged imports and full replacements, budgets, retries, files that the server fetches.
--
-- Servers that do not know it must be stopped before: their workers would take staged imports for ordinary ones. Nothing
-- was released without it.

ALTER TABLE api_key ADD COLUMN sandbox boolean NOT NULL DEFAULT false;

-- A table without a name is a branch: what an import would make of a table, which nobody sees before it is committed.
-- Records are copied into it as they are touched. It is deleted like any table.
ALTER TABLE record_table ALTER COLUMN name DROP NOT NULL;

-- The keys that an import has touched in its branch, whether or not there is a record.
CREATE TABLE branch_key (
    table_id bigint NOT NULL,
    key text COLLATE "C" NOT NULL,
    -- Whether the table had a record with this key.
    existed boolean NOT NULL,
    -- Whether a record of the import has the key; else it was only looked at.
    named boolean NOT NULL DEFAULT false,
    PRIMARY KEY (table_id, key)
);

-- The fields that `writer` has filled, in an import that fills what is empty.
ALTER TABLE record ADD COLUMN filled text[];
-- XXH3 of the JSON text that `data` was made from; NULL if it is not known. A record with the same text is the same.
ALTER TABLE record ADD COLUMN digest bigint;
-- So that new records can be copied with nothing but what differs.
ALTER TABLE record
    ALTER COLUMN create_time SET DEFAULT now(),
    ALTER COLUMN update_time SET DEFAULT now(),
    ALTER COLUMN rewritten SET DEFAULT false;

DROP VIEW import_report;

ALTER TABLE import
    -- The table may be deleted, or, in a rehearsal, not exist.
    ADD COLUMN table_name text COLLATE "C",
    ADD COLUMN branch_id bigint REFERENCES record_table,
    ADD COLUMN mode text NOT NULL DEFAULT 'REPLACE'
        CHECK (mode IN ('REPLACE', 'MERGE', 'FILL_EMPTY', 'SKIP_EXISTING', 'DELETE')),
    ADD COLUMN validate_only boolean NOT NULL DEFAULT false,
    ADD COLUMN staged boolean NOT NULL DEFAULT false,
    -- Of a full replacement: which share of the table may be deleted.
    ADD COLUMN max_deleted_ratio double precision CHECK (max_deleted_ratio BETWEEN 0 AND 1),
    ADD COLUMN max_errors bigint CHECK (max_errors >= 0),
    ADD COLUMN max_error_ratio double precision CHECK (max_error_ratio BETWEEN 0 AND 1),
    ADD COLUMN retry_of bigint,
    ADD COLUMN removed bigint NOT NULL DEFAULT 0,
    -- Whether it is being committed: then the records are processed again, and how many are is in `commit_processed`.
    ADD COLUMN committing boolean NOT NULL DEFAULT false,
    ADD COLUMN commit_processed bigint NOT NULL DEFAULT 0,
    ADD COLUMN commit_lease_until timestamptz NOT NULL DEFAULT clock_timestamp(),
    ADD COLUMN commit_generation bigint NOT NULL DEFAULT 0,
    ADD COLUMN commit_failures integer NOT NULL DEFAULT 0,
    DROP CONSTRAINT import_state_check,
    ADD CONSTRAINT import_state_check CHECK (state IN (
        'RECEIVING', 'PROCESSING', 'AWAITING_COMMIT', 'CANCELLING', 'SUCCEEDED', 'PARTIALLY_SUCCEEDED', 'FAILED',
        'CANCELLED'
    )),
    ADD CHECK (NOT (staged AND validate_only));
UPDATE import SET table_name = record_table.name FROM record_table WHERE record_table.table_id = import.table_id;
ALTER TABLE import ALTER COLUMN table_name SET NOT NULL;

CREATE INDEX import_by_table ON import (table_id);
CREATE INDEX import_by_branch ON import (branch_id) WHERE branch_id IS NOT NULL;
CREATE INDEX import_unfinished ON import (account_id) WHERE finish_time IS NULL;
CREATE INDEX import_committing ON import (commit_lease_until) WHERE committing AND finish_time IS NULL;

ALTER TABLE batch
    ADD COLUMN skipped bigint NOT NULL DEFAULT 0,
    ADD COLUMN deleted bigint NOT NULL DEFAULT 0,
    -- The batches that were finished, but not processed, when this one was begun: they come first.
    ADD COLUMN waits_for bigint[] NOT NULL DEFAULT '{}',
    -- What the server fetches: `{"uri": ...}`, or `{"retry_of": ...}` for rejected records of another import.
    ADD COLUMN source jsonb,
    ADD COLUMN status_message text NOT NULL DEFAULT '',
    ADD COLUMN fetch_lease_until timestamptz NOT NULL DEFAULT clock_timestamp(),
    ADD COLUMN fetch_generation bigint NOT NULL DEFAULT 0,
    ADD COLUMN fetch_failures integer NOT NULL DEFAULT 0,
    DROP CONSTRAINT batch_check1,
    ADD CONSTRAINT batch_counts_check CHECK (
        created + updated + unchanged + skipped + deleted + superseded + processing_rejected <= upload_accepted
    );

CREATE INDEX batch_to_fetch ON batch (fetch_lease_until) WHERE source IS NOT NULL AND NOT finished AND NOT closed;

-- The positions, within its payload, of the records that processing has rejected.
ALTER TABLE chunk ADD COLUMN rejected integer[] NOT NULL DEFAULT '{}';

-- The bytes of a compressed upload as they came, until it is finished: a decompressor's state cannot be stored.
CREATE TABLE compressed_part (
    batch_seq bigint NOT NULL,
    start_offset bigint NOT NULL,
    content bytea NOT NULL,
    PRIMARY KEY (batch_seq, start_offset)
);
ALTER TABLE compressed_part ALTER COLUMN content SET STORAGE EXTERNAL;

-- A batch, and whether it has errors: what GetBatch shows.
CREATE VIEW batch_report AS
SELECT
    batch.*,
    EXISTS (
        SELECT FROM error_group
        WHERE error_group.import_id = batch.import_id
          AND error_group.batch_seq = batch.batch_seq
    ) AS any_errors
FROM batch;

-- An import with the sums of its batches: what GetImport shows. Faults that were found while the server read a file that
-- it had fetched are `reading_rejected`, and count as those of processing.
CREATE VIEW import_report AS
SELECT
    import.*,
    total.*,
    EXISTS (SELECT FROM error_group WHERE error_group.import_id = import.import_id) AS any_errors
FROM import
CROSS JOIN LATERAL (
    SELECT
        count(*)::integer AS batch_count,
        coalesce(bool_and(batch.finished), false) AS batches_finished,
        coalesce(bool_and(batch.finished AND batch.chunks_done = batch.chunks_received), true) AS work_is_over,
        coalesce(bool_or(batch.upload_accepted + batch.upload_rejected = 0 AND batch.finished), false) AS any_empty,
        coalesce(bool_or(batch.status_message <> ''), false) AS any_not_fetched,
        coalesce(sum(batch.committed_offset), 0)::bigint AS committed_offset,
        -- A total makes sense only where all batches announce theirs, in one unit.
        CASE WHEN count(*) = count(batch.expected_total) AND count(DISTINCT batch.unit) = 1
            THEN least(sum(batch.expected_total), 9223372036854775807)::bigint
        END AS expected_total,
        coalesce(sum(batch.upload_accepted), 0)::bigint AS upload_accepted,
        coalesce(sum(batch.upload_rejected), 0)::bigint AS upload_rejected,
        coalesce(sum(batch.upload_rejected) FILTER (WHERE batch.source ? 'uri'), 0)::bigint AS reading_rejected,
        coalesce(sum(batch.created), 0)::bigint AS created,
        coalesce(sum(batch.updated), 0)::bigint AS updated,
        coalesce(sum(batch.unchanged), 0)::bigint AS unchanged,
        coalesce(sum(batch.skipped), 0)::bigint AS skipped,
        coalesce(sum(batch.deleted), 0)::bigint AS deleted,
        coalesce(sum(batch.superseded), 0)::bigint AS superseded,
        coalesce(sum(batch.processing_rejected), 0)::bigint AS processing_rejected,
        max(batch.update_time) AS batch_update_time
    FROM batch
    WHERE batch.import_id = import.import_id
) AS total;
