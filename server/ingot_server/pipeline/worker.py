"""Workers: lease a batch, process its chunks in order, give it back.

A lease is kept alive by a heartbeat, in the database's time. If it runs out, because this process died or hung, the
batch goes to another worker with a higher lease generation, and whatever this one still tries to write has no effect.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from ingot_server.domain.errors import DatabaseUnavailable
from ingot_server.domain.imports import ImportState
from ingot_server.pipeline.committing import commit_next
from ingot_server.pipeline.leasing import kept
from ingot_server.pipeline.processing import LeaseLost, WriteLimits
from ingot_server.pipeline.rotation import Rotation
from ingot_server.pipeline.settling import end_all_due, end_if_due, tell_deletions
from ingot_server.pipeline.turn import Turn
from ingot_server.storage import chunks, field_indexes, hung_copies, import_moves, leases, tables
from ingot_server.storage.database import Database
from ingot_server.storage.leases import Lease

log = logging.getLogger(__name__)

COMMITS = (None, None, 50_000)
"""The imports that one process commits at the same time, each into a table of its own: how many records they may have.

The last is for those that are quickly done: they must not wait for minutes for the large ones of others.
"""
FAILURES_MAX = 5
"""After so many failures in a row, of a sort that nobody foresaw, the import is given up."""

LOOK_BACK_SECONDS = 60.0
"""How often to look for batches that appear to wait since a time at which there were none."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How the workers of one process behave."""

    workers: int = 2
    """How many batches are processed at the same time."""
    lease: timedelta = timedelta(seconds=15)
    poll_seconds: float = 0.25
    """How often to look for work that other processes have received."""
    errors_limit: int = 100_000
    """How many errors of an import are kept in full."""
    chunk_retention: timedelta = timedelta(hours=24)
    """How long chunks are kept after the end of their import."""
    abandoned_after: timedelta = timedelta(hours=72)
    """After how long an import that nobody goes on with is cancelled."""
    sweep_seconds: float = 2.0
    """How often to end imports that were left over, and to delete old chunks."""


class Workers:
    """The workers of one process."""

    def __init__(self, database: Database, settings: WorkerSettings, on_end: Callable[[int], None]) -> None:
        """`on_end` is told the import that has ended, or goes on to its commit."""
        self._database = database
        self._on_end = on_end
        self._settings = settings
        self._limits = WriteLimits(settings.errors_limit, 2 * settings.lease.total_seconds())
        self._work_arrived = asyncio.Semaphore(0)
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._commit_due = asyncio.Event()
        self._indexing: asyncio.Task[None] | None = None
        self._rotation = Rotation()
        self._commit_rotation = Rotation()
        self._waiting_since: datetime | None = None
        self._look_back_at = 0.0

    def start(self) -> None:
        """Begins to work."""
        loops = [self._work_forever() for _ in range(self._settings.workers)]
        if self._settings.workers:
            # Beside the workers, and more than one: a commit may take minutes, in which others are to go on.
            loops += [self._commit_forever(records_max) for records_max in COMMITS]
        self._tasks = [asyncio.create_task(loop) for loop in (*loops, self._sweep_forever())]
        self._indexing = asyncio.create_task(self._index_forever())

    def wake(self) -> None:
        """Says that there is something to process: saves the time until the next look."""
        # For one of those who wait, or for whoever waits next.
        if self._work_arrived.locked():
            self._work_arrived.release()

    def wake_commits(self) -> None:
        """Says that there is something to commit."""
        self._commit_due.set()

    async def end_if_due(self, import_id: int) -> None:
        """Ends an import, or has it committed, if it is time for that; and tells those who wait for it."""
        if came_to := await end_if_due(self._database, import_id):
            self._on_end(import_id)
            if came_to is ImportState.PROCESSING:
                self.wake_commits()

    async def stop(self) -> None:
        """Finishes the chunks in hand, gives the batches back, and returns when all is done."""
        self._stopping.set()
        for _ in range(self._settings.workers):
            self._work_arrived.release()
        self.wake_commits()
        # An index may be hours from its end: what there is of it is dropped, and it is made anew, at the next start.
        if self._indexing is not None:
            self._indexing.cancel()
            await asyncio.gather(self._indexing, return_exceptions=True)
        await asyncio.gather(*self._tasks)

    async def _work_forever(self) -> None:
        while not self._stopping.is_set():
            try:
                lease = await leases.lease_claim(
                    self._database, self._settings.lease, self._rotation.accounts, self._waiting_since
                )
                if lease is not None:
                    self._rotation.note(lease.account_id)
                    await self._process(lease)
                    continue
            except DatabaseUnavailable:
                log.warning("the database is unavailable; trying again")
            except Exception:
                log.exception("a worker failed; it goes on")
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.poll_seconds):
                    await self._work_arrived.acquire()

    async def _commit_forever(self, records_max: int | None) -> None:
        while not self._stopping.is_set():
            self._commit_due.clear()
            try:
                if await commit_next(
                    self._database,
                    self._settings.lease,
                    self._limits,
                    self._stopping,
                    self._commit_rotation,
                    records_max,
                ):
                    continue
            except DatabaseUnavailable:
                log.warning("the database is unavailable; trying again")
            except Exception:
                log.exception("a commit failed; it is tried again")
            await self._pause(self._commit_due, self._settings.poll_seconds)

    async def _process(self, lease: Lease) -> None:
        """Processes chunks of a leased batch until there are none, or its turn is over.

        After an error that nobody expected the lease is left to run out, which keeps a batch that fails again and again
        from occupying its worker. After several in a row the import is given up: nobody is to wait for it for ever.
        """

        def extend() -> Awaitable[bool]:
            return leases.lease_extend(self._database, lease, self._settings.lease)

        try:
            async with kept(extend, self._settings.lease.total_seconds() / 3) as lost:
                turn = Turn(self._database, lease, self._limits, self.end_if_due, (lost, self._stopping))
                await turn.run()
        except LeaseLost:
            log.info("lease lost", extra={"import_id": lease.import_id, "batch_seq": lease.batch_seq})
        except DatabaseUnavailable:
            with suppress(DatabaseUnavailable):
                await leases.lease_release(self._database, lease)
            raise
        except Exception:
            await self._note_failure(lease)
            raise
        else:
            if not turn.is_last:
                await leases.lease_release(self._database, lease)
        await self.end_if_due(lease.import_id)

    async def _note_failure(self, lease: Lease) -> None:
        if await leases.lease_note_failure(self._database, lease) < FAILURES_MAX:
            return
        error_id = secrets.token_hex(4)
        log.error("an import is given up", extra={"import_id": lease.import_id, "error_id": error_id})
        message = (
            f"The service gave up after {FAILURES_MAX} failures to process a part of the upload. Please report the id"
            f" {error_id}; the details are in the server's log."
        )
        if await import_moves.import_give_up(self._database, lease.import_id, message):
            await tell_deletions(self._database, lease.import_id)
            self._on_end(lease.import_id)

    async def _sweep_forever(self) -> None:
        while not self._stopping.is_set():
            for chore in (
                self._end_hung_copies,
                self._note_waiting,
                self._cancel_abandoned,
                self._end_imports,
                self._delete_chunks,
                self._clear_tables,
            ):
                try:
                    await chore()
                except DatabaseUnavailable:
                    break
                except Exception:
                    log.exception("a chore failed; it is tried again")
            await self._pause(self._stopping, self._settings.sweep_seconds)

    async def _note_waiting(self) -> None:
        """Notes since when batches wait, so that claims do not look at what is longer ago."""
        before = self._waiting_since
        if time.monotonic() >= self._look_back_at:
            self._look_back_at = time.monotonic() + LOOK_BACK_SECONDS
            before = None
        self._waiting_since = await leases.lease_waiting_since(self._database, before)

    async def _end_hung_copies(self) -> None:
        if await hung_copies.hung_copy_end(self._database, timedelta(seconds=self._limits.statement_seconds)):
            log.warning("a process hangs in the middle of a COPY; its connection was ended")

    async def _cancel_abandoned(self) -> None:
        await import_moves.import_cancel_abandoned(self._database, self._settings.abandoned_after)

    async def _end_imports(self) -> None:
        await end_all_due(self._database)

    async def _delete_chunks(self) -> None:
        while await chunks.chunk_delete_expired(self._database, self._settings.chunk_retention):
            if self._stopping.is_set():
                return

    async def _clear_tables(self) -> None:
        while await tables.table_clear_deleted(self._database):
            if self._stopping.is_set():
                return

    async def _index_forever(self) -> None:
        """Makes the indexes of declared fields. Not with the chores: one may take hours."""
        while not self._stopping.is_set():
            try:
                if await field_indexes.field_index_build_next(self._database):
                    continue
            except DatabaseUnavailable:
                log.warning("an index of a field could not be made; trying again")
            except Exception:
                log.exception("an index of a field cannot be made; trying again")
            await self._pause(self._stopping, self._settings.sweep_seconds)

    @staticmethod
    async def _pause(until: asyncio.Event, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await until.wait()
