"""Batches: opening one for an upload, appending to it, and reading it."""

from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec

from ingot_server.domain.batches import BATCHES_MAX, Batch, OffsetUnit, Source, batch_status
from ingot_server.domain.errors import BatchNotFound, ImportTooLarge
from ingot_server.domain.formats import DataFormat
from ingot_server.domain.imports import ImportState
from ingot_server.domain.progress import Stage, percent, stage_state
from ingot_server.domain.records import ErrorStage
from ingot_server.storage import errors, imports
from ingot_server.storage.chunks import NewChunk
from ingot_server.storage.database import Database
from ingot_server.storage.sql import Queries

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection

sql = Queries("batches.sql")


@dataclass(slots=True)
class OpenBatch:
    """A batch as a stream goes on with it; the stream keeps it up to date as it commits."""

    account_id: int
    import_id: int
    batch_id: str
    batch_seq: int
    unit: OffsetUnit | None
    format: DataFormat | None
    decoder_state: dict[str, Any] | None
    expected_total: int | None
    committed_offset: int
    received: int
    """How many records, good and bad, lie before the committed offset."""
    finished: bool
    closed: bool
    """Whether it takes nothing more, because the import was cancelled or given up."""
    given_up: bool
    state_message: str
    """Of the import: why it takes nothing more, if that is so."""
    key_fields: tuple[str, ...] | None
    """The key fields that were known when the import was made; if there were none, records must carry their own. None
    if the records need none."""
    rules: str
    """The rules for the records, as JSON text."""
    source: Source | None = None
    """What the server fetches; None for an upload."""


async def batch_find(database: Database, account_id: int, import_id: int, batch_id: str) -> OpenBatch | None:
    """The batch with this id, to go on with; None if there is none."""
    row = await database.fetchrow(sql.batch_open, account_id, import_id, batch_id)
    if row is None:
        return None
    return OpenBatch(
        account_id=account_id,
        import_id=import_id,
        batch_id=batch_id,
        batch_seq=row["batch_seq"],
        unit=OffsetUnit(row["unit"]) if row["unit"] else None,
        format=_format(row["format"]),
        decoder_state=msgspec.json.decode(row["decoder_state"]) if row["decoder_state"] else None,
        expected_total=row["expected_total"],
        committed_offset=row["committed_offset"],
        received=row["received"],
        finished=row["finished"],
        closed=row["closed"],
        given_up=row["given_up"],
        state_message=row["state_message"],
        key_fields=None if row["known_key_fields"] is None else tuple(row["known_key_fields"]),
        rules=row["rules"],
        source=msgspec.json.decode(row["source"], type=Source) if row["source"] else None,
    )


async def batch_create(
    database: Database,
    account_id: int,
    import_id: int,
    batch_id: str,
    source: Source | None = None,
    format: DataFormat | None = None,
) -> OpenBatch:
    """A new batch, or the one that another stream has just made under this id. `source` is what the server fetches.

    Raises ImportNotFound, ImportTooLarge, and ImportStateRefused if the import takes no more batches.
    """
    async with database.connection() as connection:
        await batch_insert(connection, account_id, import_id, batch_id, source, format)
    made = await batch_find(database, account_id, import_id, batch_id)
    if made is None:
        raise imports.import_not_found(import_id)
    return made


async def batch_insert(
    connection: "Connection",
    account_id: int,
    import_id: int,
    batch_id: str,
    source: Source | None = None,
    format: DataFormat | None = None,
    after_seq: int | None = None,
) -> int | None:
    """Makes a batch of an import; its number, None if there is one already.

    It is applied after the batches that are finished by now, and after the one with the number `after_seq`. Raises
    ImportNotFound, ImportTooLarge if there are BATCHES_MAX, and ImportStateRefused if the import takes no more batches.
    """
    unit = OffsetUnit.BYTES if format and not format.type.tabular else OffsetUnit.RECORDS
    owner = await connection.fetchrow(
        sql.batch_create,
        account_id,
        import_id,
        batch_id,
        _source_text(source) if source else None,
        msgspec.json.encode(asdict(format)).decode() if format else None,
        unit if source else None,
        after_seq,
        BATCHES_MAX,
    )
    if owner is None:
        raise imports.import_not_found(import_id)
    if owner["state"] != ImportState.RECEIVING:
        raise imports.import_state_refused(import_id, owner["state"], "it takes no new batch")
    if owner["is_full"]:
        raise ImportTooLarge(
            f"Import {import_id} has {BATCHES_MAX:,} batches, the most that it may have: finish it, send the rest in"
            " another import, and send more records in each batch.",
            quota="import_batches",
            limit=BATCHES_MAX,
            import_id=import_id,
        )
    made: int | None = owner["batch_seq"]
    return made


async def batch_append(
    connection: "Connection",
    batch: OpenBatch,
    new_offset: int,
    decoder_state: dict[str, Any] | None,
    *,
    chunk: NewChunk | None,
    accepted: int,
    rejected: int,
    error_count: int,
    errors_limit: int,
    received_bytes: int,
    finish: bool,
    rest: timedelta,
) -> int | None:
    """Moves the committed offset on, makes `chunk` durable, and with `finish` ends the batch there.

    If the chunk is its first, the batch is not to be processed before the `rest` is over or the batch is finished.

    Returns how many of the errors the full list of the import still has room for. None if the batch is no longer as
    `batch` says: another stream was faster, or it is finished or closed.
    """
    found: int | None = await connection.fetchval(
        sql.batch_append,
        batch.batch_seq,
        batch.committed_offset,
        new_offset,
        batch.unit,
        msgspec.json.encode(asdict(batch.format)).decode() if batch.format else None,
        msgspec.json.encode(decoder_state).decode() if decoder_state is not None else None,
        accepted,
        rejected,
        batch.expected_total,
        error_count,
        errors_limit,
        received_bytes,
        finish,
        rest,
        *((chunk.content_crc32, chunk.runs, chunk.payload, chunk.keys) if chunk else (None, None, None, None)),
    )
    return found


async def batch_get(database: Database, account_id: int, import_id: int, batch_id: str) -> Batch:
    """One batch without error groups. Raises ImportNotFound, BatchNotFound."""
    return _batch(await _batch_row(database, account_id, import_id, batch_id))


async def batch_seq(database: Database, account_id: int, import_id: int, batch_id: str) -> int:
    """The number of a batch. Raises ImportNotFound, BatchNotFound."""
    return int((await _batch_row(database, account_id, import_id, batch_id))["batch_seq"])


async def _batch_row(database: Database, account_id: int, import_id: int, batch_id: str) -> asyncpg.Record:
    row = await database.fetchrow(sql.batch_get, account_id, import_id, batch_id)
    if row is None:
        await imports.import_expect(database, account_id, import_id)
        raise BatchNotFound(f"Import {import_id} has no batch {batch_id!r}.", import_id=import_id, batch_id=batch_id)
    return row


async def batch_list(
    database: Database, account_id: int, import_id: int, after_seq: int, limit: int
) -> list[tuple[int, Batch]]:
    """The import's batches after `after_seq`, in the order of creation, each with its number."""
    rows = await database.fetch(sql.batch_list, account_id, import_id, after_seq, limit)
    return [(row["batch_seq"], _batch(row)) for row in rows]


async def batch_get_many(database: Database, batch_seqs: list[int]) -> dict[int, Batch]:
    """The batches with these numbers, of any account, without error groups."""
    return {row["batch_seq"]: _batch(row) for row in await database.fetch(sql.batch_get_many, batch_seqs)}


async def with_groups(database: Database, found: Batch) -> Batch:
    """`found` with the error groups of its stages."""
    if not found.any_errors:
        return found
    groups = await errors.error_group_list(database, found.import_id, found.batch_id)
    return replace(
        found,
        upload=found.upload.with_groups_of(ErrorStage.UPLOAD, groups),
        processing=found.processing.with_groups_of(ErrorStage.PROCESSING, groups),
    )


def _format(stored: str | None) -> DataFormat | None:
    return msgspec.json.decode(stored, type=DataFormat) if stored else None


def _source_text(source: Source) -> str:
    # Only what is said: queries ask whether there is a `uri`.
    return msgspec.json.encode({name: value for name, value in asdict(source).items() if value}).decode()


def _batch(row: asyncpg.Record) -> Batch:
    total = imports.counts(row)
    source = msgspec.json.decode(row["source"], type=Source) if row["source"] else Source()
    # What was found in a file that the server had fetched counts as processing.
    early = row["upload_rejected"] if source.uri else 0
    uploaded, upload_rejected = row["upload_accepted"] + early, row["upload_rejected"] - early
    processing_rejected = row["processing_rejected"] + early
    processed, failed = total.imported + processing_rejected, bool(row["status_message"])
    done = row["finished"] and row["chunks_done"] == row["chunks_received"]
    return Batch(
        import_id=row["import_id"],
        batch_id=row["batch_id"],
        status=batch_status(
            finished=row["finished"],
            closed=row["closed"],
            given_up=row["given_up"],
            done=done,
            imported=0 if failed else total.imported,
        ),
        committed_offset=row["committed_offset"],
        unit=OffsetUnit(row["unit"]) if row["unit"] else None,
        format=_format(row["format"]),
        total=row["expected_total"],
        finished=row["finished"],
        counts=total,
        upload=Stage(
            stage_state(
                # What nobody fetches yet waits for others.
                begun=row["source"] is None or row["fetch_generation"] > 0,
                over=row["finished"] or row["closed"],
                # A file in which no record could be read was not fetched either, whatever it was.
                accepted=0 if failed or not row["upload_accepted"] else uploaded,
                rejected=upload_rejected,
            ),
            uploaded,
            upload_rejected,
            percent(row["committed_offset"], row["expected_total"]),
        ),
        processing=Stage(
            stage_state(
                begun=processed > 0,
                over=done or row["closed"],
                accepted=total.imported,
                rejected=processing_rejected,
            ),
            total.imported,
            processing_rejected,
            percent(processed, uploaded) if row["finished"] else None,
        ),
        create_time=row["create_time"],
        update_time=row["update_time"],
        uri=source.uri,
        status_message=row["status_message"],
        any_errors=row["any_errors"],
    )
