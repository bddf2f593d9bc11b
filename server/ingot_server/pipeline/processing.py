"""Processes one chunk: keys and values, then one transaction for records, errors, counts and "this chunk is done".

The first half is pure and runs while the database is busy with the chunk before. The second half may be tried twice and
takes effect once: its last two statements find their rows only if the chunk is not done and the lease still ours.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from ingot_server.domain.records import ErrorCode, ErrorStage, Fault, Reject, Severity, reject
from ingot_server.pipeline.applying import Finding, Prepared, Target, apply, prepare
from ingot_server.pipeline.packing import Origins, unpack_texts
from ingot_server.pipeline.validation import validator
from ingot_server.storage import batches, chunks, errors, tables
from ingot_server.storage.batches import Lease
from ingot_server.storage.chunks import StoredChunk
from ingot_server.storage.database import Database, DataRefused

WARNINGS_SHARE = 10
"""Warnings have a tenth of the room that errors have in the full list, and take nothing from theirs."""


class LeaseLost(Exception):
    """Another worker has the batch now, or the import was cancelled: nothing was written."""


class _AlreadyDone(Exception):
    """The chunk is done: our own commit had taken effect when its answer was lost, or another worker was faster."""


@dataclass(slots=True)
class PreparedChunk:
    """A chunk ready to be written."""

    chunk_index: int
    records: Prepared
    origins: Origins

    def rejects(self, findings: Sequence[Finding]) -> list[Reject]:
        """Records with faults, as they came."""
        texts, origins = self.records.texts, self.origins
        return [
            reject(*origins[found.position], texts[found.position], *found.faults, key=found.key) for found in findings
        ]


def prepare_chunk(chunk: StoredChunk, lease: Lease) -> PreparedChunk:
    """Unpacks a chunk and prepares its records."""
    target = Target(
        lease.account_id,
        lease.table_id,
        validator(lease.rules, lease.key_fields),
        lease.key_fields,
        own_keys=lease.own_keys,
    )
    return PreparedChunk(chunk.chunk_index, prepare(unpack_texts(chunk.payload), target), Origins(chunk.runs))


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
            await _find_refused(database, lease, prepared)
            await database.retrying(lambda: _write_once(database, lease, prepared, limits))


async def adopt_keys(database: Database, lease: Lease, key_fields: tuple[str, ...]) -> Lease:
    """The lease with the key fields that the table has in the end, after records have named theirs."""
    async with database.transaction() as connection:
        adopted = await tables.table_adopt_keys(connection, lease.table_id, key_fields)
    return replace(lease, key_fields=adopted)


async def _write_once(database: Database, lease: Lease, prepared: PreparedChunk, limits: WriteLimits) -> None:
    async with database.transaction(statement_timeout_seconds=limits.statement_seconds) as connection:
        applied = await apply(connection, prepared.records, lease.import_id)
        rejects, doubted = prepared.rejects(applied.rejected), prepared.rejects(applied.doubted)
        received = applied.counts.received + len(rejects)
        outcome = replace(applied.counts, received=received, rejected=len(rejects))
        storable = await errors.error_count_storable(connection, lease.import_id, rejects, limits.errors)
        warnings = await errors.error_count_storable(
            connection, lease.import_id, doubted, limits.errors // WARNINGS_SHARE, Severity.WARNING
        )
        for found, number in ((rejects, storable), (doubted, warnings)):
            await errors.error_add(connection, lease.import_id, lease.batch_seq, ErrorStage.PROCESSING, found, number)
        # The batch's row comes last: it is shared with the stream that is still uploading.
        if not await chunks.chunk_settle(connection, lease.batch_seq, prepared.chunk_index):
            raise _AlreadyDone
        if not await batches.batch_settle_chunk(connection, lease, outcome, storable, warnings):
            raise LeaseLost


async def _find_refused(database: Database, lease: Lease, prepared: PreparedChunk) -> None:
    """Finds the records that the database refuses: the last resort, for what no check has found.

    Halves the chunk until single records are found; each try is rolled back.
    """

    async def search(first: int, end: int) -> None:
        try:
            async with database.transaction() as connection:
                await apply(connection, await prepared.records.part(first, end), lease.import_id)
                raise _RollBack
        except _RollBack:
            return
        except DataRefused as refusal:
            if end - first == 1:
                message = f"the database refused the record ({refusal.condition}, SQLSTATE {refusal.sqlstate})"
                prepared.records.refuse(first, Fault(ErrorCode.REFUSED_BY_DATABASE, message))
                return
        middle = (first + end) // 2
        await search(first, middle)
        await search(middle, end)

    await search(0, len(prepared.records.texts))


class _RollBack(Exception):
    """Ends a transaction that was only a trial."""
