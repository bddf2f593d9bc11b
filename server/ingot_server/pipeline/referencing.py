"""Fetches the batches that the server is to fetch by itself: it uploads them to itself, as a client would.

So everything holds that holds for uploads: what is committed stays, and after a crash another fetcher, here or
elsewhere, goes on at the committed offset. If two fetch the same batch for a moment, only one of them can append.

Each process fetches some files at once. An account that has the fewest under way comes first, and gets no more if it
has more than half as many as there are fetchers free: the fewer are free, the less anybody gets, and neither one
account nor a few can keep all to themselves (Choudhury and Hahne, Dynamic Queue Length Thresholds for Shared-Memory
Packet Switches, 1998). A fetch ends after some hours at the latest.
"""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

from ingot_server.domain.batches import Source
from ingot_server.domain.errors import (
    BatchFinished,
    ContentDiffers,
    DatabaseUnavailable,
    ImportStateRefused,
    ImportTooLarge,
    InvalidRequest,
    NotFound,
    QueueFull,
    ShuttingDown,
    TotalMismatch,
    UploadConflict,
)
from ingot_server.domain.formats import DataFormat
from ingot_server.pipeline.fetching import Fetcher, FetchFailed, FileChanged, ReferenceRefused
from ingot_server.pipeline.leasing import keep
from ingot_server.pipeline.local_copies import remove_abandoned_copies
from ingot_server.pipeline.packed_reading import FileDamaged
from ingot_server.pipeline.pieces import Piece
from ingot_server.pipeline.receiving import Receiver
from ingot_server.pipeline.sources import RecordsGone, Sources, Unfetchable, Unfit
from ingot_server.storage import batches, references
from ingot_server.storage.database import Database
from ingot_server.storage.references import FetchLease
from ingot_tabular import TabularFault, TabularUnavailable, tabular_is_installed

log = logging.getLogger(__name__)

FAILURES_MAX = 5
"""After so many failures, of a sort that nobody foresaw, the batch is given up."""
POLL_SECONDS = 0.5
KEEP_SECONDS = 1.0
"""How often to look whether a batch is still to be fetched: its import may be cancelled while nothing comes."""
_NOT_FETCHED = (FetchFailed, ReferenceRefused, Unfetchable)
_NOT_READ = (TabularFault, TabularUnavailable, Unfit)
_CHANGED = (FileChanged, ContentDiffers, TotalMismatch)
_SOURCE_FAULTS = (*_NOT_FETCHED, *_NOT_READ)
_AGAIN = "reference the file again, as another batch, or in another import if this one is finished."
_MENDED = f"When that is mended, {_AGAIN}"


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """How one process fetches."""

    at_once: int = 16
    """How many files are fetched at the same time."""
    lease: timedelta = timedelta(seconds=15)
    longest: timedelta = timedelta(hours=6)
    """After so long a fetch is given up."""
    copy_bytes_max: int = 4 << 30
    """How large a file may be that can only be read as a whole."""


class Fetching:
    """What one process fetches."""

    def __init__(
        self,
        database: Database,
        receiver: Receiver,
        fetcher: Fetcher,
        settings: FetchSettings,
        end_if_due: Callable[[int], Awaitable[None]],
    ) -> None:
        """`end_if_due` is told an import whose last file may have been read."""
        self._database = database
        self._end_if_due = end_if_due
        self._receiver = receiver
        self._fetcher = fetcher
        self._settings = settings
        self._sources = Sources(database, fetcher, settings.copy_bytes_max)
        self._may_claim = asyncio.Event()
        self._under_way: Counter[int] = Counter()
        """How many files of each account this process fetches."""
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begins to fetch."""
        remove_abandoned_copies()
        if self._settings.at_once:
            self._keep(self._claim_forever())

    def wake(self) -> None:
        """Says that there is something to fetch: saves the time until the next look."""
        self._may_claim.set()

    def expect_readable(self, uri: str) -> None:
        """Raises InvalidRequest if one can see from the URI that it may not be read."""
        try:
            self._fetcher.check(uri)
        except ReferenceRefused as refused:
            raise InvalidRequest({"uri": refused.message}) from None

    async def reference(self, account_id: int, import_id: int, batch_id: str, uri: str, format: DataFormat) -> None:
        """Makes a batch that is to be fetched; one that was made for the same file before stays as it is.

        Raises ImportNotFound, ImportStateRefused, InvalidRequest, and ContentDiffers if the batch is of another file.
        """
        if format.type.tabular and not tabular_is_installed():
            how = "its operator can install Ingot with the extra `tabular`"
            raise InvalidRequest(
                {"format.type": f"expected no {format.type}: this server cannot read such files; {how}"}
            )
        source = Source.of(uri, format)
        batch = await batches.batch_find(self._database, account_id, import_id, batch_id)
        if batch is None:
            batch = await batches.batch_create(self._database, account_id, import_id, batch_id, source, format)
            self.wake()
        if batch.source is None or batch.source.call_sha256 != source.call_sha256:
            raise ContentDiffers(
                f"Import {import_id} has a batch {batch_id!r} of something else: choose another batch id.",
                import_id=import_id,
                batch_id=batch_id,
            )

    async def stop(self) -> None:
        """Stops fetching; others may go on at once. What was received is committed."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._fetcher.close()

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _claim_forever(self) -> None:
        # One for all: sixteen that look by themselves ask the database thirty times a second, and all when woken.
        while True:
            self._may_claim.clear()
            with self._going_on():
                while (lease := await self._claim()) is not None:
                    self._under_way[lease.account_id] += 1
                    self._keep(self._fetch_one(lease))
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._may_claim.wait()

    async def _claim(self) -> FetchLease | None:
        free = self._settings.at_once - self._under_way.total()
        if not free:
            return None
        full = [account_id for account_id, number in self._under_way.items() if number > free // 2]
        return await references.reference_claim(self._database, self._settings.lease, full)

    async def _fetch_one(self, lease: FetchLease) -> None:
        try:
            with self._going_on():
                await self._fetch(lease)
        finally:
            self._under_way -= Counter([lease.account_id])
            self._may_claim.set()

    @contextmanager
    def _going_on(self) -> Iterator[None]:
        """What goes wrong within ends nothing else."""
        try:
            yield
        except ShuttingDown:
            log.info("a file is fetched on by another server, or when this one is started again")
        except DatabaseUnavailable:
            log.warning("the database is unavailable; trying again")
        except QueueFull:
            log.info("a file is fetched on when less waits to be processed")
        except Exception:
            log.exception("fetching failed; it goes on")

    async def _fetch(self, lease: FetchLease) -> None:
        try:
            await self._receive_in_time(lease)
        except RecordsGone as reason:
            await self._fail(lease, reason.message)
        except _CHANGED:
            await self._fail(lease, f"The file changed while it was read. When nobody writes it any more, {_AGAIN}")
        except (*_NOT_READ, InvalidRequest) as reason:
            await self._fail(lease, f"The file could not be read: {reason.message}. {_MENDED}")
        except _NOT_FETCHED as reason:
            await self._fail(lease, f"The file could not be fetched: {reason.message}. {_MENDED}")
        except FileDamaged as reason:
            await self._fail(lease, f"{reason.message} {_MENDED}")
        except ImportTooLarge as refused:
            await self._fail(lease, refused.message)
        except UploadConflict:
            # Somebody else fetches the batch, or our own commit was lost on its way: the committed offset will tell.
            await references.reference_release(self._database, lease)
        except QueueFull:
            # The lease is left to run out: to go on, the host is asked anew, and a workbook is copied anew.
            raise
        except (ShuttingDown, DatabaseUnavailable, asyncio.CancelledError):
            with suppress(DatabaseUnavailable):
                await references.reference_release(self._database, lease)
            raise
        except (BatchFinished, ImportStateRefused, NotFound) as error:
            # The import was cancelled, given up or deleted, or the batch is finished: there is nothing left to do.
            log.info("a batch is not fetched any more: %s", type(error).__name__, extra={"import_id": lease.import_id})
        except Exception:
            await self._note_failure(lease)
            raise
        await self._end_if_due(lease.import_id)

    async def _fail(self, lease: FetchLease, message: str) -> None:
        await references.reference_fail(self._database, lease, message)

    async def _note_failure(self, lease: FetchLease) -> None:
        if await references.reference_note_failure(self._database, lease) < FAILURES_MAX:
            return
        error_id = secrets.token_hex(4)
        log.error("a batch is given up", extra={"import_id": lease.import_id, "error_id": error_id})
        await self._fail(
            lease,
            f"The service gave up after {FAILURES_MAX} failures to fetch the file. Please report the id {error_id}; the"
            " details are in the server's log.",
        )

    async def _receive_in_time(self, lease: FetchLease) -> None:
        try:
            async with asyncio.timeout(self._settings.longest.total_seconds()) as limit:
                await self._receive_while_ours(lease)
        except TimeoutError:
            if not limit.expired():
                raise
            hours = self._settings.longest.total_seconds() / 3600
            raise Unfetchable(f"it was not through after {hours:g} hours, the longest that a file may take") from None

    async def _receive_while_ours(self, lease: FetchLease) -> None:
        duration = self._settings.lease

        def extend() -> Awaitable[bool]:
            return references.reference_extend_lease(self._database, lease, duration)

        receiving = asyncio.create_task(self._receive(lease))
        keeping = asyncio.create_task(keep(extend, min(KEEP_SECONDS, duration.total_seconds() / 3)))
        try:
            await asyncio.wait({receiving, keeping}, return_when=asyncio.FIRST_COMPLETED)
            (receiving if receiving.done() else keeping).result()
        finally:
            for task in (receiving, keeping):
                task.cancel()
            await asyncio.gather(receiving, keeping, return_exceptions=True)

    async def _receive(self, lease: FetchLease) -> None:
        batch = await batches.batch_find(self._database, lease.account_id, lease.import_id, lease.batch_id)
        if batch is None or batch.source is None or batch.finished:
            return
        faults: list[Exception] = []
        async with (
            self._sources.open(lease, batch, batch.source) as pieces,
            aclosing(_up_to_a_fault(pieces, faults)) as sound,
        ):
            await self._receiver.receive(batch, sound)
        if faults:
            raise faults[0]


async def _up_to_a_fault(pieces: AsyncIterator[Piece], faults: list[Exception]) -> AsyncGenerator[Piece, None]:
    """The pieces that come before a fault of the source: it must not cost what was received."""
    try:
        async for piece in pieces:
            yield piece
    except _SOURCE_FAULTS as fault:
        faults.append(fault)
