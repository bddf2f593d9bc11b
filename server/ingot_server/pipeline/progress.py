"""Progress: tells everybody who watches an import or a batch how it stands.

One poller per process reads all watched things in one query each, so a thousand watchers cost the database no more than
one. A watcher holds only the newest state: one that reads slowly skips states and never queues them. Everything comes
from committed rows, so the numbers are the same on every server and never go back.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Generic, Protocol, Self, TypeVar

from ingot_server.domain.batches import Batch
from ingot_server.domain.errors import IngotError, ShuttingDown
from ingot_server.domain.imports import Import
from ingot_server.domain.progress import Counts
from ingot_server.storage import batches, imports
from ingot_server.storage.database import Database

log = logging.getLogger(__name__)

POLL_SECONDS = 0.25
HEARTBEAT_SECONDS = 10.0


class Progressing(Protocol):
    """What can be watched: an Import or a Batch."""

    @property
    def counts(self) -> Counts:
        """What became of its records."""


T = TypeVar("T", Import, Batch)


class _Watcher(Generic[T]):
    """One watcher's view: the newest state, and a signal that there is a newer one."""

    def __init__(self) -> None:
        self.newest: T | None = None
        self.gone = False
        self.changed = asyncio.Event()

    def show(self, state: T | None) -> None:
        if state is None:
            self.gone = True
        elif state == self.newest:
            return
        self.newest = state
        self.changed.set()


class Feed(Generic[T]):
    """The watchers of one kind of thing, by its number."""

    def __init__(
        self,
        load: Callable[[list[int]], Awaitable[dict[int, T]]],
        with_groups: Callable[[T], Awaitable[T]],
    ) -> None:
        self._load: Callable[[list[int]], Awaitable[dict[int, T]]] = load
        self._with_groups: Callable[[T], Awaitable[T]] = with_groups
        self._watchers: defaultdict[int, set[_Watcher[T]]] = defaultdict(set)
        self._shown: dict[int, T] = {}
        # A query that began earlier must not be shown later: the counts would go back.
        self._one_at_a_time = asyncio.Lock()
        self._stopped = False

    async def watch(self, number: int) -> AsyncGenerator[tuple[T, bool], None]:
        """The state at once, then the newest whenever it has changed; (state, whether it is only a heartbeat).

        Ends after a final state, and when the thing was deleted. Raises ShuttingDown when the process stops.
        """
        watcher: _Watcher[T] = _Watcher()
        self._watchers[number].add(watcher)
        try:
            await self._refresh([number], only=watcher)
            while True:
                with suppress(TimeoutError):
                    await asyncio.wait_for(watcher.changed.wait(), HEARTBEAT_SECONDS)
                heartbeat = not watcher.changed.is_set()
                watcher.changed.clear()
                state = watcher.newest
                if self._stopped:
                    raise ShuttingDown("The server is shutting down: watch again, on any server.")
                if watcher.gone or state is None:
                    return
                yield state, heartbeat
                if _final(state) and not watcher.changed.is_set():
                    return
        finally:
            self._watchers[number].discard(watcher)
            if not self._watchers[number]:
                del self._watchers[number]
                self._shown.pop(number, None)

    def stop(self) -> None:
        """Sends all watchers away, to watch on another server."""
        self._stopped = True
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.changed.set()

    async def poll(self) -> None:
        """Shows all watchers the newest state."""
        if self._watchers:
            await self._refresh(list(self._watchers))

    async def look_at(self, number: int) -> None:
        """Shows the newest state to the watchers of one thing, if it has some."""
        if number in self._watchers:
            await self._refresh([number])

    async def _refresh(self, numbers: list[int], only: _Watcher[T] | None = None) -> None:
        """Shows the newest state to all watchers of `numbers`, or to one of them."""
        async with self._one_at_a_time:
            found = await self._load(numbers)
            for number in numbers:
                state = found.get(number)
                if state is not None:
                    state = await self._grouped(number, state)
                for watcher in [only] if only else self._watchers.get(number, ()):
                    watcher.show(state)

    async def _grouped(self, number: int, state: T) -> T:
        """`state` with its error groups, which are read again only when there are more rejects."""
        shown = self._shown.get(number)
        same = shown is not None and shown.counts.rejected == state.counts.rejected
        # EMPTY_PAYLOAD is an error without a reject, so the last state is read whole.
        if shown is not None and same and not _final(state):
            state = replace(
                state,
                upload=replace(state.upload, groups=shown.upload.groups),
                processing=replace(state.processing, groups=shown.processing.groups),
            )
        else:
            state = await self._with_groups(state)
        if number in self._watchers:
            self._shown[number] = state
        return state


def _final(state: Import | Batch) -> bool:
    return state.state.final if isinstance(state, Import) else state.status.final


class Progress:
    """The feeds of one process and the poller behind them."""

    def __init__(self, database: Database) -> None:
        self.imports: Feed[Import] = Feed(
            lambda numbers: imports.import_get_many(database, numbers),
            lambda found: imports.with_groups(database, found),
        )
        self.batches: Feed[Batch] = Feed(
            lambda numbers: batches.batch_get_many(database, numbers),
            lambda found: batches.with_groups(database, found),
        )
        self._polling: asyncio.Task[None] | None = None
        self._looking: set[asyncio.Task[None]] = set()

    def start(self) -> Self:
        """Begins to poll."""
        self._polling = asyncio.create_task(self._poll_forever())
        return self

    async def stop(self) -> None:
        """Sends all watchers away and stops polling."""
        for feed in (self.imports, self.batches):
            feed.stop()
        tasks = [*self._looking, *([self._polling] if self._polling is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def look_at(self, import_id: int) -> None:
        """Has an import looked at now that has ended: nobody is to wait for that. All else is found by polling."""
        looking = asyncio.create_task(self._look_at(import_id))
        self._looking.add(looking)
        looking.add_done_callback(self._looking.discard)

    async def _look_at(self, import_id: int) -> None:
        try:
            await self.imports.look_at(import_id)
        except IngotError:
            log.warning("progress cannot be read; trying again")

    async def _poll_forever(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            for feed in (self.imports, self.batches):
                try:
                    await feed.poll()
                except IngotError:
                    # Watchers keep what they have; heartbeats go on.
                    log.warning("progress cannot be read; trying again")
                except Exception:
                    log.exception("progress failed; it goes on")
