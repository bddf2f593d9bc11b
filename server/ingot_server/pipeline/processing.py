"""Processes one chunk: keys, then one transaction for records, errors, counts and "this chunk is done".

The first half is pure and runs while the database is busy with the chunk before. The second half may be tried twice and
takes effect once: its last two statements find their rows only if the chunk is not done and the lease still ours.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from ingot_server.domain.records import ErrorCode, ErrorStage, Fault, Reject, reject
from ingot_server.pipeline.keys import read_keys
from ingot_server.pipeline.packing import Origins, unpack_texts
from ingot_server.storage import batches, chunks, errors, records, tables
from ingot_server.storage.batches import Lease
from ingot_server.storage.chunks import StoredChunk
from ingot_server.storage.database import Database, DataRefused
from ingot_server.storage.records import KeyedRecord


class LeaseLost(Exception):
    """Another worker has the batch now, or the import was cancelled: nothing was written."""


class _AlreadyDone(Exception):
    """The chunk is done: our own commit had taken effect when its answer was lost, or another worker was faster."""


@dataclass(slots=True)
class PreparedChunk:
    """A chunk ready to be written."""

    chunk_index: int
    records: list[KeyedRecord]
    positions: Sequence[int]
    """The position of each record in the chunk."""
    origins: Origins
    rejects: list[Reject]
    named_keys: tuple[str, ...]
    """The key fields that the first record with a `keys` field names; empty if there is none."""


def prepare(chunk: StoredChunk, lease: Lease) -> PreparedChunk:
    """Unpacks a chunk and determines the key of every record."""
    texts = unpack_texts(chunk.payload)
    origins = Origins(chunk.runs)
    keyed = read_keys(texts, lease.key_fields, own_keys=lease.own_keys)
    rejects = [reject(*origins[position], texts[position], fault) for position, fault in keyed.faults]
    return PreparedChunk(chunk.chunk_index, keyed.records, keyed.positions, origins, rejects, keyed.named_keys)


@dataclass(frozen=True, slots=True)
class WriteLimits:
    """What the writing of a chunk may take."""

    errors: int
    """How many errors of an import are kept in full."""
    statement_seconds: float
    """How long a statement may run: as long as it does, a process that hangs in it keeps the rows locked."""


async def write(database: Database, lease: Lease, prepared: PreparedChunk, limits: WriteLimits) -> None:
    """Writes a prepared chunk and counts it as done, unless it is done already.

    Raises LeaseLost, and DatabaseUnavailable if it could not be done in several tries.
    """
    with suppress(_AlreadyDone):
        try:
            await database.retrying(lambda: _write_once(database, lease, prepared, limits))
        except DataRefused:
            await _reject_refused(database, lease, prepared)
            await database.retrying(lambda: _write_once(database, lease, prepared, limits))


async def adopt_keys(database: Database, lease: Lease, key_fields: tuple[str, ...]) -> Lease:
    """The lease with the key fields that the table has in the end, after records have named theirs."""
    async with database.transaction() as connection:
        adopted = await tables.table_adopt_keys(connection, lease.table_id, key_fields)
    return replace(lease, key_fields=adopted)


async def _write_once(database: Database, lease: Lease, prepared: PreparedChunk, limits: WriteLimits) -> None:
    rejects = prepared.rejects
    async with database.transaction(statement_timeout_seconds=limits.statement_seconds) as connection:
        applied = await records.record_apply(connection, lease.table_id, lease.import_id, prepared.records)
        outcome = replace(applied, received=applied.received + len(rejects), rejected=len(rejects))
        storable = await errors.error_count_storable(connection, lease.import_id, rejects, limits.errors)
        await errors.error_add(connection, lease.import_id, lease.batch_seq, ErrorStage.PROCESSING, rejects, storable)
        # The batch's row comes last: it is shared with the stream that is still uploading.
        if not await chunks.chunk_settle(connection, lease.batch_seq, prepared.chunk_index):
            raise _AlreadyDone
        if not await batches.batch_settle_chunk(connection, lease, outcome, storable):
            raise LeaseLost


async def _reject_refused(database: Database, lease: Lease, prepared: PreparedChunk) -> None:
    """Moves the records that the database refuses to the rejects: the last resort, for what no check has found.

    Halves the chunk until single records are found; each try is rolled back.
    """
    refused: dict[int, DataRefused] = {}

    async def search(first: int, end: int) -> None:
        try:
            async with database.transaction() as connection:
                await records.record_apply(connection, lease.table_id, lease.import_id, prepared.records[first:end])
                raise _RollBack
        except _RollBack:
            return
        except DataRefused as refusal:
            if end - first == 1:
                refused[first] = refusal
                return
        middle = (first + end) // 2
        await search(first, middle)
        await search(middle, end)

    await search(0, len(prepared.records))
    for found, refusal in refused.items():
        key, text = prepared.records[found]
        fault = Fault(
            ErrorCode.REFUSED_BY_DATABASE,
            f"the database refused the record ({refusal.condition}, SQLSTATE {refusal.sqlstate})",
        )
        origin = prepared.origins[prepared.positions[found]]
        prepared.rejects.append(reject(*origin, text.encode(), fault, key=key))
    prepared.rejects.sort(key=lambda found: found.index)
    kept = [number for number in range(len(prepared.records)) if number not in refused]
    prepared.records = [prepared.records[number] for number in kept]
    prepared.positions = [prepared.positions[number] for number in kept]


class _RollBack(Exception):
    """Ends a transaction that was only a trial."""
