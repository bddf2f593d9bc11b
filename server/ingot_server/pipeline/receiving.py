"""Receives the stream of one upload: offsets, decoding, checks, and durable chunks.

While one chunk is being committed, the next one is packed, and the one after it is being filled; then reading stops
until the commit is through, which holds the client back. So a stream occupies no more than two chunks, a packed one and
one message.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ingot_server.domain.batches import OffsetUnit
from ingot_server.domain.errors import (
    BatchFinished,
    IngotError,
    InvalidRequest,
    OffsetGap,
    ShuttingDown,
    TotalMismatch,
)
from ingot_server.domain.formats import Compression
from ingot_server.domain.records import Decoded, ErrorCode, Fault, reject
from ingot_server.pipeline.allowances import Allowance
from ingot_server.pipeline.appending import Appender
from ingot_server.pipeline.checking import check
from ingot_server.pipeline.decoding import decoder
from ingot_server.pipeline.packed_reading import FileDamaged, PackedReader
from ingot_server.pipeline.pieces import Piece, parts_of
from ingot_server.pipeline.reading import PlainReader, Reader
from ingot_server.pipeline.replaying import Content, Replay
from ingot_server.pipeline.validation import validator
from ingot_server.storage import chunks, imports
from ingot_server.storage.batches import OpenBatch
from ingot_server.storage.database import Database


@dataclass(frozen=True, slots=True)
class ChunkLimits:
    """When a chunk is full."""

    bytes: int = 1024 * 1024
    records: int = 5_000
    seconds: float = 0.2
    """How long received records wait for more before they are made durable."""


class Upload:
    """One stream's part in one batch."""

    def __init__(
        self,
        database: Database,
        batch: OpenBatch,
        limits: ChunkLimits,
        allowance: Allowance,
        errors_limit: int,
        stepping: asyncio.Lock,
        on_commit: Callable[[], None],
    ) -> None:
        """`stepping` is shared by all uploads of the process."""
        self._database = database
        self._batch = batch
        self._stepping = stepping
        self._limits = limits
        self._appender = Appender(database, batch, allowance, errors_limit, on_commit)
        self._reader = self._file_reader()
        self._replay: Replay | None = None
        self._stream_offset = 0
        self._arrived = asyncio.Event()
        self._commits: deque[asyncio.Task[None]] = deque()
        # The reader and the timer both decode and commit; each must find the other's work complete.
        self._turn = asyncio.Lock()

    async def run(self, pieces: AsyncIterator[Piece], draining: asyncio.Event) -> None:
        """Takes all pieces; afterwards everything received is committed.

        Whatever ends it early, the committed offset is in the error's facts. Raises ShuttingDown when `draining` is
        set.
        """
        reading = asyncio.create_task(self._read(pieces))
        ticking = asyncio.create_task(self._commit_regularly())
        ending = asyncio.create_task(draining.wait())
        try:
            await asyncio.wait({reading, ticking, ending}, return_when=asyncio.FIRST_COMPLETED)
            for task in (reading, ticking):
                if task.done():
                    task.result()
            if not reading.done():
                raise ShuttingDown
            async with self._turn:
                await self._flush()
        except IngotError as error:
            await _ended(reading, ticking, ending)
            await self._keep_what_arrived()
            error.facts.setdefault("import_id", str(self._batch.import_id))
            error.facts.setdefault("batch_id", self._batch.batch_id)
            error.facts["committed_offset"] = str(self._batch.committed_offset)
            raise
        except FileDamaged:
            await _ended(reading, ticking, ending)
            await self._keep_what_arrived()
            raise
        finally:
            await _ended(reading, ticking, ending)
            # A commit outlives whoever waited for it; nobody must be told an offset before it is known.
            await asyncio.gather(*self._commits, return_exceptions=True)

    async def _read(self, pieces: AsyncIterator[Piece]) -> None:
        async for piece in pieces:
            async with self._turn:
                await self._receive(piece)

    async def _commit_regularly(self) -> None:
        while True:
            await self._arrived.wait()
            await asyncio.sleep(self._limits.seconds)
            self._arrived.clear()
            async with self._turn:
                if self._reader is not None:
                    await self._reader.catch_up()
                commit = await self._start_commit()
            # Reading goes on meanwhile; a failure must not wait for the next message to be noticed.
            await asyncio.shield(commit)

    async def _keep_what_arrived(self) -> None:
        """Commits what came before an error, if that is possible: the error in hand is the one to report."""
        with suppress(IngotError):
            async with self._turn:
                await self._flush(decode=self._reader is not None and not self._reader.keeps_all)

    async def _receive(self, piece: Piece) -> None:
        content = self._content(piece)
        offset = self._stream_offset if piece.offset is None else piece.offset
        received = self._received_offset
        if content and offset > received:
            self._expect_open()
            raise OffsetGap(f"offset: expected {received} or less, got {offset}", expected_offset=received)
        repeated = min(len(content), received - offset) if content else 0
        if repeated:
            await self._compare(offset, content[:repeated])
        if len(content) > repeated:
            await self._take(content[repeated:])
        self._stream_offset = offset + len(content)
        if piece.finish_total is not None:
            await self._finish(piece.finish_total)

    def _content(self, piece: Piece) -> Content:
        if piece.records and piece.data:
            raise InvalidRequest({"data": "expected either records or data in a message, not both"})
        content: Content = piece.records or piece.data
        if content:
            unit = OffsetUnit.RECORDS if piece.records else OffsetUnit.BYTES
            if self._batch.unit not in (None, unit):
                other = "records" if self._batch.unit is OffsetUnit.RECORDS else "data"
                raise InvalidRequest({unit.lower() if piece.records else "data": f"this batch carries {other}"})
            if unit is OffsetUnit.BYTES and self._reader is None:
                raise InvalidRequest({"format": "expected in the first message, because the batch carries data"})
            if unit is OffsetUnit.RECORDS and self._reader is not None:
                raise InvalidRequest({"records": "expected data, because the batch has a format"})
            self._batch.unit = unit
        return content

    @property
    def _received_offset(self) -> int:
        return self._appender.end_offset + (self._reader.waiting_bytes if self._reader is not None else 0)

    async def _compare(self, offset: int, content: Content) -> None:
        if self._received_offset > self._batch.committed_offset:
            await self._flush()
        if self._replay is None:
            self._replay = Replay(await chunks.chunk_contents(self._database, self._batch.batch_seq, offset))
        self._replay.compare(offset, content)

    async def _take(self, content: Content) -> None:
        if self._batch.finished:
            raise BatchFinished
        self._expect_open()
        if isinstance(content, list):
            for part in parts_of(content):
                await self._add(part)
        elif self._reader is not None:
            await self._reader.add(content)
        self._arrived.set()

    def _expect_open(self) -> None:
        """Raises ImportStateRefused if the import takes nothing more: before what is wrong with a message matters."""
        if self._batch.closed:
            raise imports.import_closed(self._batch.import_id, self._batch.state_message, given_up=self._batch.given_up)

    async def _add(self, records: list[bytes]) -> None:
        first = self._appender.next_index
        decoded = Decoded(records, range(first, first + len(records)), [0] * len(records), [], len(records))
        self._appender.add(self._check(decoded), records)
        await self._step_done()

    def _file_reader(self) -> Reader | None:
        format = self._batch.format
        if format is None or format.type.tabular:
            return None
        if format.compression is not Compression.NONE:
            return PackedReader(self._database, self._batch, format, self._appender, self._take_decoded)
        beginning_of = None if self._batch.committed_offset else format
        return PlainReader(decoder(format, self._batch.decoder_state), self._take_decoded, beginning_of)

    async def _take_decoded(self, decoded: Decoded, content: bytes | memoryview, decoder_state: dict[str, Any]) -> None:
        self._appender.add(self._check(decoded), content, decoder_state)
        await self._step_done()

    def _check(self, decoded: Decoded) -> Decoded:
        key_fields = self._batch.key_fields
        return check(decoded, key_fields, validator(self._batch.rules, key_fields or ()).is_name)

    async def _step_done(self) -> None:
        """Lets others run, and begins to commit if the chunk is full."""
        # One after the other: steps of many streams in a row would hold the event loop for as long as all of them take.
        async with self._stepping:
            await asyncio.sleep(0)
        appender, limits = self._appender, self._limits
        if appender.pending_bytes >= limits.bytes or appender.pending_records >= limits.records:
            await self._start_commit(is_full=True)

    async def _start_commit(self, *, is_full: bool = False) -> "asyncio.Task[None]":
        """Begins to commit what is pending, with no more than one commit before it. More follows a full chunk."""
        await self._committed(but=1)
        commit = asyncio.create_task(self._appender.commit(more_follows=is_full))
        self._commits.append(commit)
        return commit

    async def _committed(self, *, but: int = 0) -> None:
        """Waits for the commits that are under way, `but` so many."""
        while len(self._commits) > but:
            await asyncio.shield(self._commits[0])
            self._commits.popleft()

    async def _flush(self, *, decode: bool = True) -> None:
        """Commits everything that is decoded, or, with `decode`, that can be."""
        if decode and self._reader is not None:
            await self._reader.catch_up()
        await self._committed()
        await self._appender.commit()

    async def _finish(self, total: int) -> None:
        received = self._received_offset
        if total != received:
            self._expect_open()
            raise TotalMismatch(
                f"finish.total: expected {received}, which was received, got {total}", received=received, total=total
            )
        if self._batch.finished:
            return
        if self._batch.unit is OffsetUnit.BYTES and self._reader is not None:
            await self._reader.finish()
        await self._committed()
        if self._appender.next_index == 0:
            fault = Fault(ErrorCode.EMPTY_PAYLOAD, "the batch holds no record: expected at least one")
            self._appender.add(Decoded(rejects=[reject(0, 0, b"", fault)]), b"")
        await self._appender.commit(finish=True)


async def _ended(*tasks: "asyncio.Task[object]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Receiver:
    """Takes the uploads of one process."""

    def __init__(
        self,
        database: Database,
        limits: ChunkLimits,
        allowance: Allowance,
        errors_limit: int,
        on_commit: Callable[[], None],
    ) -> None:
        self._database = database
        self._limits = limits
        self._allowance = allowance
        self._errors_limit = errors_limit
        self._on_commit = on_commit
        self._stepping = asyncio.Lock()
        self._draining = asyncio.Event()

    async def receive(self, batch: OpenBatch, pieces: AsyncIterator[Piece]) -> None:
        """Appends all pieces to the batch; afterwards they are committed. See Upload.run."""
        upload = Upload(
            self._database, batch, self._limits, self._allowance, self._errors_limit, self._stepping, self._on_commit
        )
        await upload.run(pieces, self._draining)

    def drain(self) -> None:
        """Ends all uploads, now and from now on, with ShuttingDown and the offset to go on from."""
        self._draining.set()
