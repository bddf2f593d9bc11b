"""Uploads one batch, whatever happens on the way.

    source ──piece──► UploadBatch ──► server
       ▲                                │ committed
       └──forget────── WatchBatch ◄─────┘

A call that breaks is followed by another, which goes on at the committed offset. The server counts everything once:
it drops what it has, refuses gaps, and finishes the batch only if the total is what it received. So nothing here has
to know whether a message arrived; only the committed offset counts.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

from grpc import aio

from ingot.v1.batch_pb2 import DataFormat
from ingot.v1.batch_service_pb2 import GetBatchRequest, UploadBatchRequest, UploadBatchResponse, WatchBatchRequest
from ingot_client import _user_code
from ingot_client._connection import Connection
from ingot_client._ending import Ending
from ingot_client._errors import (
    BatchFinished,
    BatchNotFound,
    IngotError,
    ScopeMissing,
    SourceDiffers,
    Transient,
    Unreachable,
    UploadInterrupted,
)
from ingot_client._likeness import difference
from ingot_client._outcomes import Counts
from ingot_client._patience import Patience
from ingot_client._sources import Source
from ingot_client._status import CALL_IS_OVER, errors_translated
from ingot_client._translating import filled
from ingot_client._views import Batch, Progress

OnProgress = Callable[[Progress], object]
UploadCall = aio.StreamUnaryCall[UploadBatchRequest, UploadBatchResponse]

REATTACH_SECONDS: Final = 0.25
# After a failed write the status of the call is on its way; if it does not come, the connection is dead.
STATUS_SECONDS: Final = 10.0


class Upload:
    """Sends a source as one batch and finishes it. Goes on with a batch that was begun before."""

    def __init__(
        self,
        connection: Connection,
        import_id: str,
        batch_id: str,
        source: Source,
        *,
        data_format: DataFormat | None = None,
        retry_timeout: float,
        on_progress: OnProgress | None = None,
        begun: bool = True,
    ) -> None:
        """`begun`: whether the batch may be there already."""
        self.committed = 0
        self._connection = connection
        self._import_id = import_id
        self._batch_id = batch_id
        self._source = source
        self._format = data_format
        self._on_progress = on_progress
        self._patience = Patience(retry_timeout)
        self._counts = Counts()
        self._begun = begun
        self._watching = False
        self._over = False
        self._telling = asyncio.Lock()
        self._is_long = asyncio.Event()
        self._moved = asyncio.Event()
        self._stuck_seconds = max(retry_timeout, STATUS_SECONDS)
        self._deadline: float | None = None
        self._half_closed = False

    async def run(self) -> Batch:
        """The finished batch. All of the source is committed then.

        Raises UploadInterrupted if nothing could be committed for `retry_timeout` seconds; what is committed is kept.
        What the source or the callback raises comes as UserCodeFailed, and the batch stays unfinished.
        """
        sending = asyncio.create_task(self._persist())
        watching = asyncio.create_task(self._watch())
        try:
            await asyncio.wait((sending, watching), return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
            batch = await sending
        except BaseException:
            sending.cancel()
            watching.cancel()
            await asyncio.gather(sending, watching, return_exceptions=True)
            raise
        # What the callback is being told must not come after what follows.
        async with self._telling:
            self._over = True
        self._is_long.set()
        self._connection.let_end(watching)
        return batch

    async def _persist(self) -> Batch:
        """Tries until the batch is finished."""
        while True:
            try:
                before = self.committed
                batch = await self._locate() if self._begun else None
                self._begun = True
                if batch is None or not batch.finished:
                    batch = await self._send()
                if batch.finished:
                    await self._report()
                    return batch
                if self.committed == before:
                    raise Unreachable("the server ended the upload early")
            except (Transient, BatchFinished) as error:
                # A server that never answered is no reason to be patient: the address may be wrong.
                if not self._connection.answered:
                    raise
                await self._report(trouble=error.message)
                trouble = error if isinstance(error, Transient) else Transient(error.message)
                if not await self._patience.wait_after(trouble):
                    raise self._interrupted(error) from error

    async def _locate(self) -> Batch | None:
        """Asks how far the batch has come; None if there is none yet."""
        request = filled(GetBatchRequest, import_id=self._import_id, batch_id=self._batch_id)
        try:
            answer = await self._connection.call(self._connection.batches.GetBatch, request)
        except BatchNotFound:
            self._check_kept(0)
            return None
        except ScopeMissing:
            # A key that may only write. The server compares and drops what it has, so any earlier offset will do.
            return None
        batch = Batch.read(answer.batch)
        if (why := difference(batch, self._source)) is not None:
            raise SourceDiffers(f"the data is not what this upload began with: {why}")
        self._check_kept(batch.committed_offset)
        self._learn(batch)
        return batch

    def _check_kept(self, committed: int) -> None:
        if committed < self.committed:
            raise SourceDiffers(
                f"the server has lost what it confirmed: {self.committed:,} {self._source.unit.lower()} "
                f"were committed, and now it has {committed:,}. Begin a new import"
            )

    async def _send(self) -> Batch:
        """One call: from the committed offset as far as it goes. Its answer is the batch, finished or not."""
        await self._source.rewind(self.committed)
        call = self._connection.batches.UploadBatch(metadata=self._connection.metadata)
        call.add_done_callback(lambda _: self._moved.set())
        ending = Ending(call)
        guard = asyncio.create_task(self._cut_off_when_stuck(call))
        try:
            with errors_translated(self._connection.address):
                # What a failed write raises says little, and is wrong if the server had already answered.
                with contextlib.suppress(*CALL_IS_OVER):
                    await self._write_all(call)
                if not call.done():
                    self._expect_within(self._stuck_seconds if self._half_closed else STATUS_SECONDS)
                answer = await ending.answer()
        finally:
            self._deadline = None
            guard.cancel()
            call.cancel()
        batch = Batch.read(answer.batch)
        self._learn(batch)
        return batch

    async def _write_all(self, call: UploadCall) -> None:
        self._half_closed = False
        first = True
        while await self._room(call):
            self._deadline = None
            piece = await self._source.next()
            request = UploadBatchRequest()
            if piece is not None:
                piece.put_into(request)
            else:
                request.offset = request.finish.total = self._source.end
            if first:
                self._introduce(request)
                first = False
            elif piece is not None:
                self._is_long.set()
            self._expect_within(self._stuck_seconds)
            await call.write(request)
            if piece is None:
                break
        self._half_closed = True
        await call.done_writing()

    def _introduce(self, request: UploadBatchRequest) -> None:
        """Completes the first message of a call."""
        request.import_id = self._import_id
        request.batch_id = self._batch_id
        if self._format is not None:
            request.format.CopyFrom(self._format)
        if self._source.total is not None:
            request.expected_total = self._source.total

    async def _room(self, call: UploadCall) -> bool:
        """Waits until the source can go on. False if this call should end first: its answer says what is committed."""
        while self._source.full:
            if call.done() or not self._watching:
                return False
            if self._deadline is None:
                self._expect_within(self._stuck_seconds)
            self._moved.clear()
            await self._moved.wait()
        return True

    def _expect_within(self, seconds: float) -> None:
        """Says that it is the server's turn, and how long it may take."""
        self._deadline = time.monotonic() + seconds

    async def _cut_off_when_stuck(self, call: UploadCall) -> None:
        """Cancels a call in which nothing happens although the server's connection seems alive."""
        while self._deadline is None or time.monotonic() < self._deadline:  # noqa: ASYNC110 - it moves all the time
            await asyncio.sleep(1)
        call.cancel()

    async def _watch(self) -> None:
        """Learns what is committed while it is being sent. Nothing depends on it: it may fail at any time."""
        request = filled(WatchBatchRequest, import_id=self._import_id, batch_id=self._batch_id)
        # Most of what is sent at once is over before there is anything to tell.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REATTACH_SECONDS):
                await self._is_long.wait()
        while not self._over:
            try:
                stream = self._connection.stream(self._connection.batches.WatchBatch, request)
                async with aclosing(stream) as answers:
                    # Once all is sent it is read on to its end: a call that is given up costs the server something.
                    async for answer in answers:
                        self._watching = True
                        if not answer.heartbeat and not self._over:
                            self._learn(Batch.read(answer.batch))
                            await self._report()
            except (Transient, BatchNotFound):
                pass
            except IngotError:
                return
            finally:
                self._watching = False
                self._moved.set()
            await asyncio.sleep(REATTACH_SECONDS)

    def _learn(self, batch: Batch) -> None:
        if batch.counts.received >= self._counts.received:
            self._counts = batch.counts
        # The watch may be told by another replica, a moment late.
        if batch.committed_offset > self.committed:
            self.committed = batch.committed_offset
            self._patience.renew()
            self._source.forget(self.committed)
            if self._deadline is not None:
                self._expect_within(self._stuck_seconds)
            self._moved.set()

    async def _report(self, trouble: str = "") -> None:
        if (tell := self._on_progress) is not None:
            source = self._source
            moment = Progress(
                self._import_id, "RECEIVING", source.unit, self.committed, source.total, self._counts, trouble
            )
            async with self._telling:
                if not self._over:
                    await _user_code.run(lambda: tell(moment))

    def _interrupted(self, error: IngotError) -> UploadInterrupted:
        return UploadInterrupted(
            error.message,
            import_id=self._import_id,
            batch_id=self._batch_id,
            committed_offset=self.committed,
            unit=self._source.unit,
        )
