"""One turn of a worker with a batch: its next chunks, several at a time where no record is in two of them.

The outcome is that of writing one after the other, because chunks that are written at the same time have no key in
common. A chunk may be done before the one before it; whoever takes the batch over looks for those that are not.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from ingot_server.pipeline.applying import MustBeAlone
from ingot_server.pipeline.hopes import Hopes
from ingot_server.pipeline.processing import PreparedChunk, WriteLimits, adopt_keys, prepare_chunk, write
from ingot_server.pipeline.threads import LITTLE_BYTES, LITTLE_RECORDS, computed
from ingot_server.storage import chunks
from ingot_server.storage.database import Database
from ingot_server.storage.leases import Lease

TURN_CHUNKS = 16
"""After so many chunks a batch is given back, so that others get their turn."""
TURN_SECONDS = 2.0
"""After so long no further chunk is begun: some records take much longer than others."""
AT_ONCE = 4
"""While PostgreSQL waits with one chunk, for the disk or for us, it works on the others."""
LOOK_BACK = 8
"""So many chunks at most were done before one that is not: more than AT_ONCE, which may be another on other servers."""


class Turn:
    """A leased batch, while chunks of it are written."""

    def __init__(
        self,
        database: Database,
        lease: Lease,
        limits: WriteLimits,
        end_if_due: Callable[[int], Awaitable[None]],
        ends: tuple[asyncio.Event, ...],
    ) -> None:
        """`end_if_due` ends an import with a spent budget. `ends` are the events after which no chunk is begun."""
        self._database = database
        self._end_if_due = end_if_due
        self._lease = lease
        self._limits = limits
        self._ends = ends
        self._hopes = Hopes(all_new=lease.all_new, none_new=lease.none_new)
        self._writing: dict[asyncio.Task[None], PreparedChunk] = {}
        self.is_last = False
        """Whether there is nothing more to do in the batch, also later, once all that was begun is written."""

    async def run(self) -> None:
        """Writes chunks until there are none, or the turn is over. Raises LeaseLost, DatabaseUnavailable."""
        # Those that are done may have been done before one that is not.
        preparing = self._begin_to_prepare(max(0, self._lease.chunks_done - LOOK_BACK))
        try:
            chunks_left, over = TURN_CHUNKS, time.monotonic() + TURN_SECONDS
            while (prepared := await preparing) is not None and not any(end.is_set() for end in self._ends):
                chunks_left -= 1
                is_over = not chunks_left or time.monotonic() > over
                if not is_over:
                    # The next chunk is read and prepared while the database writes, or this one waits for that.
                    preparing = self._begin_to_prepare(prepared.chunk_index + 1)
                while self._is_in_the_way(prepared):
                    await self._one_written()
                self._writing[asyncio.create_task(self._write(prepared))] = prepared
                if is_over:
                    break
            while self._writing:
                await self._one_written()
        finally:
            preparing.cancel()
            await asyncio.gather(preparing, *self._writing, return_exceptions=True)

    def _begin_to_prepare(self, from_index: int) -> "asyncio.Task[PreparedChunk | None]":
        return asyncio.create_task(self._prepare_next(from_index))

    def _is_in_the_way(self, prepared: PreparedChunk) -> bool:
        if not self._writing:
            return False
        # No chunk is further ahead of one that is not done: whoever goes on does not look back to the first one.
        first = min(other.chunk_index for other in self._writing.values())
        return prepared.chunk_index - first >= AT_ONCE or any(
            prepared.keys is None or other.keys is None or not prepared.keys.isdisjoint(other.keys)
            for other in self._writing.values()
        )

    async def _one_written(self) -> None:
        done, _ = await asyncio.wait(self._writing, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            del self._writing[task]
            task.result()

    async def _write(self, prepared: PreparedChunk) -> None:
        try:
            await write(self._database, self._lease, prepared, self._limits)
        except MustBeAlone:
            # Those after it are written meanwhile only if they are all new, or all known, and none that this one means.
            await self._written_before(prepared)
            prepared.records.alone = True
            await write(self._database, self._lease, prepared, self._limits)
        if self._lease.has_budget:
            await self._end_if_due(self._lease.import_id)

    async def _written_before(self, prepared: PreparedChunk) -> None:
        """Returns when all chunks before one are written. Raises what kept one of them from it."""
        before = [task for task, other in self._writing.items() if other.chunk_index < prepared.chunk_index]
        if before:
            await asyncio.wait(before)
        for task in before:
            task.result()

    async def _prepare_next(self, from_index: int) -> PreparedChunk | None:
        if from_index == self._lease.chunks_total:
            self.is_last = True
            return None
        chunk = await chunks.chunk_next(self._database, self._lease.batch_seq, from_index)
        if chunk is None:
            return None
        # Too long for the event loop where many records are faulty.
        is_little = chunk.record_count <= LITTLE_RECORDS and len(chunk.payload) <= LITTLE_BYTES
        prepared = await computed(is_little, prepare_chunk, chunk, self._lease, self._hopes)
        if not self._lease.key_fields and prepared.records.named_keys:
            self._lease = await adopt_keys(self._database, self._lease, prepared.records.named_keys)
            prepared = await asyncio.to_thread(prepare_chunk, chunk, self._lease, self._hopes)
        return prepared
