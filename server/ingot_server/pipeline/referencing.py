"""Fetches the batches that the server is to fetch by itself: it uploads them to itself, as a client would.

So everything holds that holds for uploads: what is committed stays, and after a crash another fetcher, here or
elsewhere, goes on at the committed offset. If two fetch the same batch for a moment, only one of them can append.
"""

import asyncio
import logging
import secrets
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import timedelta
from itertools import islice
from pathlib import Path

from ingot_server.domain.batches import Source
from ingot_server.domain.errors import (
    ContentDiffers,
    DatabaseUnavailable,
    IngotError,
    InvalidRequest,
    ShuttingDown,
    UploadConflict,
)
from ingot_server.domain.formats import DataFormat, FileType
from ingot_server.pipeline.fetching import Fetcher, FetchFailed, ReferenceRefused
from ingot_server.pipeline.packing import unpack_texts
from ingot_server.pipeline.pieces import CHECK_RECORDS, Piece
from ingot_server.pipeline.receiving import Receiver
from ingot_server.pipeline.settling import end_if_due
from ingot_server.storage import batches, chunks, references
from ingot_server.storage.batches import OpenBatch
from ingot_server.storage.database import Database
from ingot_server.storage.references import FetchLease
from ingot_tabular import TabularFault, TabularUnavailable, read_records, tabular_is_installed

log = logging.getLogger(__name__)

FAILURES_MAX = 5
"""After so many failures, of a sort that nobody foresaw, the batch is given up."""
POLL_SECONDS = 0.25
_SUFFIXES = {FileType.EXCEL: ".xlsx", FileType.PARQUET: ".parquet"}


class _GivenUp(Exception):
    """The batch cannot be fetched; the message says why."""


class Fetching:
    """What one process fetches."""

    def __init__(
        self, database: Database, receiver: Receiver, fetcher: Fetcher, *, at_once: int, lease: timedelta
    ) -> None:
        self._database = database
        self._receiver = receiver
        self._fetcher = fetcher
        self._at_once = at_once
        self._lease = lease
        self._arrived = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begins to fetch."""
        self._tasks = [asyncio.create_task(self._fetch_forever()) for _ in range(self._at_once)]

    def wake(self) -> None:
        """Says that there is something to fetch: saves the time until the next look."""
        self._arrived.set()

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
        batch = await batches.batch_find(self._database, account_id, import_id, batch_id)
        if batch is None:
            source = Source(uri=uri)
            batch = await batches.batch_create(self._database, account_id, import_id, batch_id, source, format)
            self.wake()
        if batch.source is None or (batch.source.uri, batch.format) != (uri, format):
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

    async def _fetch_forever(self) -> None:
        while True:
            self._arrived.clear()
            try:
                lease = await references.reference_claim(self._database, self._lease)
                if lease is not None:
                    await self._fetch(lease)
                    continue
            except DatabaseUnavailable:
                log.warning("the database is unavailable; trying again")
            except Exception:
                log.exception("fetching failed; it goes on")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), POLL_SECONDS)

    async def _fetch(self, lease: FetchLease) -> None:
        try:
            async with self._heartbeat(lease):
                await self._receive(lease)
        except (_GivenUp, FetchFailed, ReferenceRefused, TabularFault, TabularUnavailable) as reason:
            await references.reference_fail(
                self._database, lease, f"The file could not be fetched: {_sentence(reason)}"
            )
        except ContentDiffers:
            message = "The file could not be fetched: it changed while it was read. Name it again, as another batch."
            await references.reference_fail(self._database, lease, message)
        except (ShuttingDown, UploadConflict, DatabaseUnavailable, asyncio.CancelledError):
            with suppress(DatabaseUnavailable):
                await references.reference_release(self._database, lease)
            raise
        except InvalidRequest as invalid:
            await references.reference_fail(self._database, lease, f"The file could not be read: {invalid.message}")
        except IngotError as error:
            # The import was cancelled, given up or deleted, or the batch is finished: there is nothing left to do.
            log.info("a batch is not fetched any more: %s", type(error).__name__, extra={"import_id": lease.import_id})
        except Exception:
            await self._note_failure(lease)
            raise
        await end_if_due(self._database, lease.import_id)

    async def _note_failure(self, lease: FetchLease) -> None:
        if await references.reference_note_failure(self._database, lease) < FAILURES_MAX:
            return
        error_id = secrets.token_hex(4)
        log.error("a batch is given up", extra={"import_id": lease.import_id, "error_id": error_id})
        message = (
            f"The service gave up after {FAILURES_MAX} failures to fetch the file. Please report the id {error_id}; the"
            " details are in the server's log."
        )
        await references.reference_fail(self._database, lease, message)

    @asynccontextmanager
    async def _heartbeat(self, lease: FetchLease) -> AsyncIterator[None]:
        """Keeps the lease meanwhile. That it is lost needs no telling: appending fails then."""

        async def beat() -> None:
            while True:
                await asyncio.sleep(self._lease.total_seconds() / 3)
                with suppress(DatabaseUnavailable):
                    await references.reference_extend_lease(self._database, lease, self._lease)

        beating = asyncio.create_task(beat())
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    async def _receive(self, lease: FetchLease) -> None:
        batch = await batches.batch_find(self._database, lease.account_id, lease.import_id, lease.batch_id)
        if batch is None or batch.source is None or batch.finished:
            return
        async with aclosing(self._pieces(lease, batch, batch.source)) as pieces:
            await self._receiver.receive(batch, pieces)

    def _pieces(self, lease: FetchLease, batch: OpenBatch, source: Source) -> AsyncGenerator[Piece, None]:
        if source.retry_of:
            return self._rejected(source, batch.committed_offset)
        format = batch.format or DataFormat()
        if format.type.tabular:
            return self._tabular(source, format, batch.committed_offset)
        return self._file(lease, batch, source)

    async def _file(self, lease: FetchLease, batch: OpenBatch, source: Source) -> AsyncGenerator[Piece, None]:
        """The bytes of a file."""
        offset = batch.committed_offset
        async with self._fetcher.open(source.uri, offset=offset, version=source.version) as file:
            if file.version != source.version:
                await references.reference_set_version(self._database, lease, file.version)
            # What comes before the committed offset is compared and dropped, as from any sender.
            position = file.offset
            async for data in file:
                yield Piece([], data, position, None)
                position += len(data)
            yield Piece([], b"", position, position)

    async def _tabular(self, source: Source, format: DataFormat, first: int) -> AsyncGenerator[Piece, None]:
        """The records of a file that can only be read as a whole."""
        with tempfile.TemporaryDirectory(prefix="ingot-fetch-") as folder:
            path = Path(folder) / f"file{_SUFFIXES[format.type]}"
            with path.open("wb") as local:
                async with self._fetcher.open(source.uri, version=source.version) as file:
                    async for data in file:
                        await asyncio.to_thread(local.write, data)
            records = await asyncio.to_thread(read_records, path, sheet=format.sheet, first=first)
            position = first
            while some := await asyncio.to_thread(_some_of, records):
                yield Piece(some, b"", position, None)
                position += len(some)
            yield Piece([], b"", position, position)

    async def _rejected(self, source: Source, committed: int) -> AsyncGenerator[Piece, None]:
        """The records of a batch that another import has rejected in processing."""
        position, after = 0, (source.retry_batch_seq, -1)
        while True:
            chunk = await chunks.chunk_next_rejected(self._database, source.retry_of, after)
            if chunk is None or chunk.batch_seq != source.retry_batch_seq:
                break
            after = (chunk.batch_seq, chunk.chunk_index)
            if position + len(chunk.rejected) > committed:
                texts = await asyncio.to_thread(unpack_texts, chunk.payload)
                yield Piece([texts[place] for place in chunk.rejected], b"", position, None)
            position += len(chunk.rejected)
        if position != source.records:
            raise _GivenUp("the rejected records are no longer kept, because their import was deleted or is too old.")
        yield Piece([], b"", position, position)


def _some_of(records: Iterator[bytes]) -> list[bytes]:
    return list(islice(records, CHECK_RECORDS))


def _sentence(reason: Exception) -> str:
    message = str(getattr(reason, "message", reason))
    return message if message.endswith(".") else f"{message}."
