"""Commits imports that were tried in a branch: all their chunks again, into the table itself, in one transaction.

The table may have changed since the trial, so nothing of that is taken over: the records are read from the log,
prepared and applied like any others, in the order in which they would have been applied without a trial. Others see all
of it or nothing. Whoever cancels the import meanwhile, or takes the lease over, finds nothing written.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from ingot_server import audit
from ingot_server.domain.errors import DatabaseUnavailable
from ingot_server.domain.imports import ImportState, final_state
from ingot_server.domain.progress import Counts
from ingot_server.domain.records import ErrorStage, Severity
from ingot_server.pipeline.applying import Applied, apply
from ingot_server.pipeline.hopes import Hopes
from ingot_server.pipeline.leasing import kept
from ingot_server.pipeline.processing import (
    WARNINGS_SHARE,
    LeaseLost,
    PreparedChunk,
    WriteLimits,
    find_refused,
    prepare_chunk,
)
from ingot_server.pipeline.replacing import removal_refused
from ingot_server.pipeline.rotation import Rotation
from ingot_server.storage import chunks, commits, errors, records, tables
from ingot_server.storage.commits import CommitLease
from ingot_server.storage.database import Database, DataRefused, database_errors, ended_if_silent, rolled_back

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection

log = logging.getLogger(__name__)

T = TypeVar("T")

FAILURES_MAX = 5
"""After so many failures, of a sort that nobody foresaw, the import is given up."""
TRIES = 5
"""How often a part of a commit is tried that is in the way of others, before all of it is begun anew."""
STATEMENT_SECONDS = 3_600
"""A full replacement deletes whatever the import does not name in one statement."""
LOCK_SECONDS = 60
PROGRESS_SECONDS = 0.25
"""How often others are told how far a commit has come."""


class _Refused(Exception):
    """The import must not be committed; the message says why."""


@dataclass(slots=True)
class _Course:
    """How far a commit has come."""

    processed: int = 0
    errors_listed: int = 0
    warnings_listed: int = 0
    nameless: int = 0
    deleted: int = 0


async def commit_next(
    database: Database,
    lease_duration: timedelta,
    limits: WriteLimits,
    stopping: asyncio.Event,
    rotation: Rotation,
    records_max: int | None,
) -> bool:
    """Commits the import whose turn it is; False if there is none. Raises DatabaseUnavailable.

    With `records_max`, only one that is quickly done. When `stopping` is set the commit is dropped, and any server
    begins it anew: it may take minutes.
    """
    lease = await commits.commit_claim(database, lease_duration, rotation.accounts, records_max)
    if lease is None:
        return False
    rotation.note(lease.account_id)
    course = _Course()

    def extend() -> Awaitable[bool]:
        return commits.commit_extend_lease(database, lease, lease_duration, course.processed)

    try:
        async with kept(extend, min(PROGRESS_SECONDS, lease_duration.total_seconds() / 3)) as lost:
            await _unless(lost, stopping, work=_Commit(database, lease, limits, course).run())
        _tell_deleted(lease, course)
    except LeaseLost:
        with suppress(DatabaseUnavailable):
            await commits.commit_release(database, lease)
        log.info(
            "a commit ended early: it was cancelled, taken over, or this server stops",
            extra={"import_id": lease.import_id},
        )
    except _Refused as refused:
        await commits.commit_refuse(database, lease, str(refused))
    except DatabaseUnavailable:
        with suppress(DatabaseUnavailable):
            await commits.commit_release(database, lease)
        with suppress(DatabaseUnavailable):
            # Only the answer to its COMMIT may be lost.
            if course.deleted and await database.retrying(lambda: commits.commit_is_settled(database, lease)):
                _tell_deleted(lease, course)
        raise
    except Exception:
        await _note_failure(database, lease)
        raise
    return True


def _tell_deleted(lease: CommitLease, course: _Course) -> None:
    if course.deleted:
        audit.deletion("records", import_id=lease.import_id, account_id=lease.account_id, count=course.deleted)


async def _note_failure(database: Database, lease: CommitLease) -> None:
    if await commits.commit_note_failure(database, lease) < FAILURES_MAX:
        return
    error_id = secrets.token_hex(4)
    log.error("a commit is given up", extra={"import_id": lease.import_id, "error_id": error_id})
    message = (
        f"The service gave up after {FAILURES_MAX} failures to commit the import. Nothing was written. Please report"
        f" the id {error_id}; the details are in the server's log."
    )
    await commits.commit_refuse(database, lease, message)


async def _unless(*ends: asyncio.Event, work: Coroutine[None, None, None]) -> None:
    """Does the work; when one of the events is set it is dropped in whatever statement it is. Raises LeaseLost then."""
    working = asyncio.create_task(work)
    waiting = [asyncio.create_task(end.wait()) for end in ends]
    try:
        await asyncio.wait({working, *waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise LeaseLost
        working.result()
    finally:
        for task in (working, *waiting):
            task.cancel()
        await asyncio.gather(working, *waiting, return_exceptions=True)


class _Commit:
    """One try to commit one import."""

    def __init__(self, database: Database, lease: CommitLease, limits: WriteLimits, course: _Course) -> None:
        self._database = database
        self._lease = lease
        self._limits = limits
        self._course = course
        self._hopes = Hopes(all_new=True, none_new=True)

    async def run(self) -> None:
        """Raises LeaseLost, _Refused."""
        async with self._database.transaction(
            statement_timeout_seconds=STATEMENT_SECONDS, lock_timeout_seconds=LOCK_SECONDS
        ) as connection:
            await errors.error_forget_processing(connection, self._lease.import_id)
            self._course.errors_listed = await errors.error_count_listed(connection, self._lease.import_id)
            if self._reconciles:
                await commits.commit_stage_names(connection)
            outcomes: dict[int, Counts] = {}
            for batch_seq in await commits.commit_list_batches(connection, self._lease.import_id):
                outcomes[batch_seq] = await self._apply_batch(connection, batch_seq)
            total = sum(outcomes.values(), Counts())
            removed, remark = await self._reconcile(connection, total) if self._reconciles else (0, "")
            # Last, and briefly: whoever cancels the import has to write these rows as well.
            for batch_seq, outcome in outcomes.items():
                await commits.commit_settle_batch(connection, batch_seq, outcome)
            report = await commits.commit_report(connection, self._lease.import_id)
            state, message = final_state(report)
            if state is ImportState.FAILED:
                spent = report.spec.budget.overdrawn(report.counts, received_all=True)
                raise _Refused(
                    f"When it was committed: {spent or 'All records were rejected.'} Nothing was written. The table,"
                    " or what the records refer to, has changed since the trial, whose errors are those that are"
                    " listed: stage it again to see the others."
                )
            message = " ".join(filter(None, (message, remark)))
            if not await commits.commit_settle(connection, self._lease, state, message, removed):
                raise LeaseLost
            self._course.deleted = total.deleted + removed

    @property
    def _reconciles(self) -> bool:
        return self._lease.max_deleted_ratio is not None

    async def _apply_batch(self, connection: "Connection", batch_seq: int) -> Counts:
        total = Counts()
        prepared = await self._prepare_next(batch_seq, 0)
        while prepared is not None:
            prepared = await self._with_keys(connection, batch_seq, prepared)
            # The next chunk is read and prepared while the database writes this one.
            following = asyncio.create_task(self._prepare_next(batch_seq, prepared.chunk_index + 1))
            try:
                total += await self._apply_chunk(connection, batch_seq, prepared)
                prepared = await following
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
        return total

    async def _prepare_next(self, batch_seq: int, from_index: int) -> PreparedChunk | None:
        chunk = await chunks.chunk_any(self._database, batch_seq, from_index)
        if chunk is None:
            return None
        return await asyncio.to_thread(prepare_chunk, chunk, self._lease, self._hopes)

    async def _with_keys(self, connection: "Connection", batch_seq: int, prepared: PreparedChunk) -> PreparedChunk:
        """The chunk, prepared anew if it names the key fields of its table, or was prepared before they were named."""
        named = prepared.records.named_keys
        if not self._lease.key_fields and named:
            adopted = await tables.table_adopt_keys(connection, self._lease.table_id, named)
            self._lease = replace(self._lease, key_fields=adopted)
        if prepared.records.target.key_fields == self._lease.key_fields:
            return prepared
        again = await self._prepare_next(batch_seq, prepared.chunk_index)
        assert again is not None  # noqa: S101 it was there a moment ago, and an unfinished import keeps its chunks
        return again

    async def _apply_chunk(self, connection: "Connection", batch_seq: int, prepared: PreparedChunk) -> Counts:
        async def attempt() -> Applied:
            return await apply(connection, prepared.records, self._lease.import_id)

        try:
            applied = await _in_part_of(connection, attempt)
        except DataRefused:
            await find_refused(lambda: _trial_in(connection), self._lease.import_id, prepared)
            applied = await _in_part_of(connection, attempt)
        await records.record_unstage(connection)
        if self._reconciles:
            await commits.commit_add_names(connection, applied.named)
        await self._keep_errors(connection, batch_seq, prepared, applied)
        course = self._course
        course.nameless += applied.nameless
        course.processed += applied.counts.received + len(applied.rejected)
        return applied.counts + Counts(received=len(applied.rejected), rejected=len(applied.rejected))

    async def _keep_errors(
        self, connection: "Connection", batch_seq: int, prepared: PreparedChunk, applied: Applied
    ) -> None:
        course, limit = self._course, self._limits.errors
        room = {
            Severity.ERROR: limit - course.errors_listed,
            Severity.WARNING: limit // WARNINGS_SHARE - course.warnings_listed,
        }
        for severity, findings in ((Severity.ERROR, applied.rejected), (Severity.WARNING, applied.doubted)):
            found = prepared.rejects(findings)
            storable = max(0, min(room[severity], sum(len(reject.faults) for reject in found)))
            await errors.error_add(connection, self._lease.import_id, batch_seq, ErrorStage.PROCESSING, found, storable)
            if severity is Severity.ERROR:
                course.errors_listed += storable
            else:
                course.warnings_listed += storable
        positions = [found.position for found in applied.rejected]
        await chunks.chunk_set_rejected(connection, batch_seq, prepared.chunk_index, positions)

    async def _reconcile(self, connection: "Connection", total: Counts) -> tuple[int, str]:
        """Deletes what the import does not name; how many records that were, and why not, if nothing was deleted."""
        lease = self._lease
        nameless = self._course.nameless + await errors.error_count_nameless(connection, lease.import_id)
        there, unnamed = await commits.commit_count_unnamed(connection, lease.table_id)
        refused = removal_refused(unnamed, there - total.created, lease.max_deleted_ratio, nameless=nameless > 0)
        if refused.is_fatal:
            raise _Refused(refused.message)
        if refused.message or not unnamed:
            return 0, refused.message
        removed = await _in_part_of(
            connection, lambda: commits.commit_delete_unnamed(connection, lease.table_id, expected=unnamed)
        )
        return removed, ""


@asynccontextmanager
async def _trial_in(connection: "Connection") -> "AsyncIterator[Connection]":
    """A part of a transaction that is rolled back in any case."""
    with database_errors():
        async with rolled_back(connection):
            with ended_if_silent(connection):
                yield connection


async def _in_part_of(connection: "Connection", attempt: Callable[[], Awaitable[T]]) -> T:
    """The result of `attempt`, in a part of a transaction that is rolled back by itself and tried again.

    Whoever stands in each other's way with others, who write less, lets go of the part, and not of minutes of work.
    """
    for _ in range(1, TRIES):
        try:
            return await _once_in_part_of(connection, attempt)
        except DatabaseUnavailable:
            if connection.is_closed():
                raise
    return await _once_in_part_of(connection, attempt)


async def _once_in_part_of(connection: "Connection", attempt: Callable[[], Awaitable[T]]) -> T:
    with database_errors():
        async with connection.transaction():
            with ended_if_silent(connection):
                return await attempt()
