-- The first schema.
--
-- It keeps to what Citus needs, so that `record` can be distributed by `key` and `chunk` by `batch_seq` with all other
-- tables local: every unique key of those two contains its distribution column, no foreign key touches them, no
-- enums, and every time is a timestamptz.

CREATE TABLE account (
    account_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    create_time timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_key (
    key_id text COLLATE "C" PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES account,
    secret_sha256 bytea NOT NULL CHECK (length(secret_sha256) = 32),
    scopes text[] NOT NULL,
    label text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    expire_time timestamptz,
    revoke_time timestamptz
);

CREATE TABLE record_table (
    table_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES account,
    name text COLLATE "C" NOT NULL CHECK (name ~ '^[A-Za-z0-9_]{1,63}$'),
    -- Empty until an import, or the first record, has named them; NULL where the kind needs none.
    key_fields text[] DEFAULT '{}',
    -- What its records must be: the kind, the declared fields and so on.
    rules jsonb NOT NULL,
    -- Whether somebody has created or updated it: then no import may change its kind and key fields in passing.
    declared boolean NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now(),
    -- Set when the table is deleted: its name is free, its records are cleared away in the background.
    delete_time timestamptz
);

CREATE UNIQUE INDEX record_table_by_name ON record_table (account_id, name) WHERE delete_time IS NULL;
CREATE INDEX record_table_deleted ON record_table (delete_time) WHERE delete_time IS NOT NULL;

CREATE TABLE record (
    table_id bigint NOT NULL,
    -- What last changed the record: an import's id, or minus the number of a WriteRecords call.
    writer bigint NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    -- Whether `writer` had written the record before: then the earlier of its records is superseded.
    rewritten boolean NOT NULL,
    key text COLLATE "C" NOT NULL,
    data jsonb NOT NULL,
    PRIMARY KEY (table_id, key)
);

-- Which record each identifier of a kind that has some, as in `email:ada@example.org`, belongs to.
CREATE TABLE record_identifier (
    table_id bigint NOT NULL,
    identifier text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    PRIMARY KEY (table_id, identifier)
);

-- The indexes that declared fields have, or shall have, on `record`: see storage/field_indexes.py.
CREATE TABLE field_index (
    table_id bigint NOT NULL REFERENCES record_table,
    name text COLLATE "C" NOT NULL,
    type text NOT NULL,
    wanted boolean NOT NULL DEFAULT true,
    ready boolean NOT NULL DEFAULT false,
    -- When it was last tried to make or drop it: one that cannot be made must not keep all others waiting.
    try_time timestamptz,
    PRIMARY KEY (table_id, name, type)
);

-- What may not occur in the records of an account, in its normal form.
CREATE TABLE blocked_value (
    account_id bigint NOT NULL REFERENCES account,
    type text COLLATE "C" NOT NULL CHECK (type IN ('DOMAIN', 'EMAIL', 'PHONE')),
    value text COLLATE "C" NOT NULL CHECK (value <> ''),
    create_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, type, value)
);

CREATE SEQUENCE write_call;

CREATE TABLE import (
    import_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES account,
    table_id bigint NOT NULL REFERENCES record_table,
    key_fields text[] NOT NULL,
    -- The key fields that were known when the import was made, its own or the table's. If there were none, each of its
    -- records must name its own, whatever the table learns meanwhile: the outcome must not depend on time. NULL where the
    -- kind needs none.
    known_key_fields text[],
    -- What the import itself said, and what was made of it with the table's settings of that moment.
    kind text NOT NULL,
    reading jsonb NOT NULL,
    rules jsonb NOT NULL,
    labels jsonb NOT NULL,
    request_id text COLLATE "C" CHECK (request_id <> ''),
    state text NOT NULL DEFAULT 'RECEIVING' CHECK (state IN (
        'RECEIVING', 'PROCESSING', 'CANCELLING', 'SUCCEEDED', 'PARTIALLY_SUCCEEDED', 'FAILED', 'CANCELLED'
    )),
    state_message text NOT NULL DEFAULT '',
    create_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now(),
    finish_time timestamptz,
    chunks_deleted boolean NOT NULL DEFAULT false,
    UNIQUE (account_id, request_id),
    CHECK ((finish_time IS NOT NULL) = (state IN ('SUCCEEDED', 'PARTIALLY_SUCCEEDED', 'FAILED', 'CANCELLED')))
);

CREATE INDEX import_by_account ON import (account_id, import_id);
CREATE INDEX import_with_old_chunks ON import (finish_time) WHERE finish_time IS NOT NULL AND NOT chunks_deleted;
CREATE INDEX import_unsettled ON import (import_id) WHERE state IN ('PROCESSING', 'CANCELLING');

CREATE TABLE batch (
    batch_seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    import_id bigint NOT NULL REFERENCES import ON DELETE CASCADE,
    batch_id text COLLATE "C" NOT NULL,

    -- The upload stage, written by the stream that is uploading.
    unit text CHECK (unit IN ('RECORDS', 'BYTES')),
    format jsonb,
    decoder_state jsonb,
    expected_total bigint CHECK (expected_total >= 0),
    committed_offset bigint NOT NULL DEFAULT 0,
    finished boolean NOT NULL DEFAULT false,
    upload_accepted bigint NOT NULL DEFAULT 0,
    upload_rejected bigint NOT NULL DEFAULT 0,
    chunks_received integer NOT NULL DEFAULT 0,

    -- The processing stage, written by the worker that holds the lease.
    created bigint NOT NULL DEFAULT 0,
    updated bigint NOT NULL DEFAULT 0,
    unchanged bigint NOT NULL DEFAULT 0,
    superseded bigint NOT NULL DEFAULT 0,
    processing_rejected bigint NOT NULL DEFAULT 0,
    chunks_done integer NOT NULL DEFAULT 0,

    -- How many errors, and warnings, are in the full list, which has limits; the counts and the groups have none.
    errors_stored bigint NOT NULL DEFAULT 0,
    warnings_stored bigint NOT NULL DEFAULT 0,
    -- Set when the import is cancelled: whoever still writes finds no row to update, and gives up.
    closed boolean NOT NULL DEFAULT false,
    -- Whether it was closed because the service gave the import up.
    given_up boolean NOT NULL DEFAULT false,
    -- How often in a row the processing of its next chunk has failed for a reason that nobody foresaw.
    failures integer NOT NULL DEFAULT 0,
    -- The batch that was given back longest ago is claimed first; a new one waits for its turn like any other.
    lease_until timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Raised by each claim: a worker whose lease was taken over writes nothing more.
    lease_generation bigint NOT NULL DEFAULT 0,
    create_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now(),
    UNIQUE (import_id, batch_id),
    CHECK (chunks_done <= chunks_received),
    CHECK (created + updated + unchanged + superseded + processing_rejected <= upload_accepted)
);

CREATE INDEX batch_claimable ON batch (lease_until) WHERE chunks_done < chunks_received AND NOT closed;

-- The durable log of what was received, and the ledger of what was done with it.
CREATE TABLE chunk (
    batch_seq bigint NOT NULL,
    chunk_index integer NOT NULL,
    -- What part of the upload this is, in the batch's unit, and the CRC-32 of that part as it was sent.
    start_offset bigint NOT NULL,
    end_offset bigint NOT NULL,
    content_crc32 bigint NOT NULL,
    record_count integer NOT NULL,
    -- Triples (position, index, line): from this record of the payload on, index and line count up by one.
    runs bigint[] NOT NULL,
    payload bytea NOT NULL,
    done_time timestamptz,
    PRIMARY KEY (batch_seq, chunk_index),
    CHECK (start_offset <= end_offset)
);
-- The payload is compressed already.
ALTER TABLE chunk ALTER COLUMN payload SET STORAGE EXTERNAL;

-- One row per error, so that the list can be filtered; `raw` is that of the whole record.
--
-- No foreign key: to look the import up for each row takes as long as storing it. Whoever adds errors also updates a
-- batch or the import in the same transaction, and gives up if that is gone.
CREATE TABLE record_error (
    import_id bigint NOT NULL,
    batch_seq bigint NOT NULL,
    record_index bigint NOT NULL,
    ordinal integer NOT NULL,
    stage smallint NOT NULL,
    code integer NOT NULL,
    field text NOT NULL,
    key text NOT NULL,
    message text NOT NULL,
    raw text NOT NULL,
    raw_truncated boolean NOT NULL,
    line bigint NOT NULL,
    PRIMARY KEY (import_id, batch_seq, record_index, ordinal)
);

CREATE TABLE error_group (
    import_id bigint NOT NULL REFERENCES import ON DELETE CASCADE,
    batch_seq bigint NOT NULL,
    stage smallint NOT NULL,
    code integer NOT NULL,
    field text COLLATE "C" NOT NULL,
    error_count bigint NOT NULL,
    -- The first such error, with the columns of record_error.
    example jsonb NOT NULL,
    PRIMARY KEY (import_id, batch_seq, stage, code, field)
);

-- An import with the sums of its batches: what GetImport shows.
CREATE VIEW import_report AS
SELECT
    import.*,
    record_table.name AS table_name,
    total.*
FROM import
JOIN record_table USING (table_id)
CROSS JOIN LATERAL (
    SELECT
        count(*)::integer AS batch_count,
        coalesce(bool_and(batch.finished), false) AS batches_finished,
        coalesce(bool_or(batch.upload_accepted + batch.upload_rejected = 0 AND batch.finished), false) AS any_empty,
        coalesce(sum(batch.committed_offset), 0)::bigint AS committed_offset,
        -- A total makes sense only where all batches announce theirs, in one unit.
        CASE WHEN count(*) = count(batch.expected_total) AND count(DISTINCT batch.unit) = 1
            THEN least(sum(batch.expected_total), 9223372036854775807)::bigint
        END AS expected_total,
        coalesce(sum(batch.upload_accepted), 0)::bigint AS upload_accepted,
        coalesce(sum(batch.upload_rejected), 0)::bigint AS upload_rejected,
        coalesce(sum(batch.created), 0)::bigint AS created,
        coalesce(sum(batch.updated), 0)::bigint AS updated,
        coalesce(sum(batch.unchanged), 0)::bigint AS unchanged,
        coalesce(sum(batch.superseded), 0)::bigint AS superseded,
        coalesce(sum(batch.processing_rejected), 0)::bigint AS processing_rejected,
        max(batch.update_time) AS batch_update_time
    FROM batch
    WHERE batch.import_id = import.import_id
) AS total;
