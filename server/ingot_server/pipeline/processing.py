"""Processes one chunk: keys and values, then one transaction for records, errors, counts and "this chunk is done".

The first half is pure and runs while the database is busy with the chunk before. The second half may be tried twice and
takes effect once: its last two statements find their rows only if the chunk is not done and the lease still ours.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from ingot_server.domain.records import ErrorCode, ErrorStage, Fault, Reject, Severity, reject
from ingot_server.pipeline.applying import Finding, Prepared, apply, prepare
from ingot_server.pipeline.hopes import Hopes
from ingot_server.pipeline.keys import KeySet
from ingot_server.pipeline.packing import Origins, unpack_keys, unpack_texts
from ingot_server.pipeline.target import Target
from ingot_server.pipeline.validation import validator
from ingot_server.storage import branches, chunks, errors, leases, tables
from ingot_server.storage.chunks import StoredChunk
from ingot_server.storage.database import BRIEF_LOCK_SECONDS, Database, DataRefused
from ingot_server.storage.leases import Lease
from ingot_server.storage.writings import Writing

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection

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
    keys: KeySet | None
    """What chunks that are written at the same time must not have in common; None: no other may be."""

    def rejects(self, findings: Sequence[Finding]) -> list[Reject]:
        """Records with faults, as they came."""
        texts, origins = self.records.texts, self.origins
        return [
            reject(*origins[found.position], texts[found.position], *found.faults, key=found.key) for found in findings
        ]


def prepare_chunk(chunk: StoredChunk, writing: Writing, hopes: Hopes) -> PreparedChunk:
    """Unpacks a chunk and prepares its records."""
    target = Target(
        writing.account_id,
        writing.table_id,
        validator(writing.rules, writing.key_fields),
        writing.key_fields,
        own_keys=writing.own_keys,
        mode=writing.mode,
        base_id=writing.base_id,
    )
    records = prepare(unpack_texts(chunk.payload), target, unpack_keys(chunk.keys))
    records.hope(hopes, writing.import_id, alone=writing.alone)
    return PreparedChunk(chunk.chunk_index, records, Origins(chunk.runs), records.keys())


@dataclass(frozen=True, slots=True)
class WriteLimits:
    """What the writing of a chunk may take."""

    errors: int
    """How many errors of an import are kept in full."""
    statement_seconds: float
    """How long a statement may run: as long as it does, a process that hangs in it keeps the rows locked."""


async def write(database: Database, lease: Lease, prepared: PreparedChunk, limits: WriteLimits) -> None:
    """Writes a prepared chunk and counts it as done, unless it is done already.

    Raises LeaseLost, MustBeAlone, and DatabaseUnavailable if it could not be done in several tries.
    """
    with suppress(_AlreadyDone):
        try:
            await database.retrying(lambda: _write_once(database, lease, prepared, limits))
        except DataRefused:
            await find_refused(database.rehearsal, lease.import_id, prepared)
            await database.retrying(lambda: _write_once(database, lease, prepared, limits))


async def adopt_keys(database: Database, lease: Lease, key_fields: tuple[str, ...]) -> Lease:
    """The lease with the key fields that the table has in the end, after records have named theirs."""
    async with database.transaction() as connection:
        adopted = await tables.table_adopt_keys(connection, lease.table_id, key_fields)
    return replace(lease, key_fields=adopted)


async def _write_once(database: Database, lease: Lease, prepared: PreparedChunk, limits: WriteLimits) -> None:
    async with database.transaction(
        statement_timeout_seconds=limits.statement_seconds, lock_timeout_seconds=BRIEF_LOCK_SECONDS
    ) as connection:
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
        if lease.reconciles:
            if lease.base_id is not None:
                # A record that was rejected names one as well, which nobody has touched yet.
                fields = prepared.records.target.rules.kind.identifiers
                await branches.branch_touch_identified(connection, lease.table_id, lease.base_id, applied.named, fields)
            await branches.branch_name_keys(connection, lease.table_id, set(applied.named), others=applied.nameless > 0)
        # The batch's row comes last: it is shared with the stream that is still uploading.
        positions = [found.position for found in applied.rejected]
        if not await chunks.chunk_settle(connection, lease.batch_seq, prepared.chunk_index, positions):
            raise _AlreadyDone
        if not await leases.lease_settle_chunk(connection, lease, outcome, storable, warnings):
            raise LeaseLost


Trial: TypeAlias = "Callable[[], AbstractAsyncContextManager[Connection]]"
"""A transaction, or a part of one, that is rolled back in any case."""


async def find_refused(trial: Trial, import_id: int, prepared: PreparedChunk) -> None:
    """Finds the records that the database refuses: the last resort, for what no check has found.

    Halves the chunk until single records are found; each try is rolled back.
    """

    async def search(first: int, end: int) -> None:
        part = await prepared.records.part(first, end)
        try:
            async with trial() as connection:
                await apply(connection, part, import_id)
        except DataRefused as refusal:
            if end - first == 1:
                message = f"the database refused the record ({refusal.condition}, SQLSTATE {refusal.sqlstate})"
                prepared.records.refuse(first, Fault(ErrorCode.REFUSED_BY_DATABASE, message))
                return
        else:
            return
        middle = (first + end) // 2
        await search(first, middle)
        await search(middle, end)

    await search(0, len(prepared.records.texts))
