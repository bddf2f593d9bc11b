"""Progress: tells everybody who watches an import or a batch how it stands.

One poller per process reads what is watched in one query, so a thousand watchers cost the database no more than one. A
watcher holds only the newest state: one that reads slowly skips states and never queues them. Everything comes from
committed rows, so the numbers are the same on every server and never go back.

Telling costs more than looking. So the more watchers there are the less often they are told of mere progress; that
something moved from state to state they are told at once.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any, Generic, Protocol, Self, TypeVar

from ingot_server.domain.batches import Batch
from ingot_server.domain.errors import IngotError, ShuttingDown
from ingot_server.domain.imports import Import
from ingot_server.domain.progress import Counts
from ingot_server.storage import batches, imports
from ingot_server.storage.database import Database, served_for_all

log = logging.getLogger(__name__)

POLL_SECONDS = 0.2
HEARTBEAT_SECONDS = 10.0
SECONDS_PER_WATCHER = 0.005
"""For each of its watchers a process lets so much time pass before it tells of progress again. To tell one takes
about a fiftieth of it, and its client more."""
LOOKED_AT_MAX = 50
"""So many imports, or batches, are looked at together, those first that have waited longest."""
TOLD_AT_ONCE = 20
"""After so many watchers others get a turn in the event loop."""


class Progressing(Protocol):
    """What can be watched: an Import or a Batch."""

    @property
    def counts(self) -> Counts:
        """What became of its records."""


T = TypeVar("T", Import, Batch)
M = TypeVar("M")


class Shown(Generic[T]):
    """A state, as all its watchers are shown it."""

    def __init__(self, state: T) -> None:
        self.state: T = state
        self._told: Any = None

    def told(self, message: Callable[[T], M]) -> M:
        """`message` of the state, made once for all watchers."""
        if self._told is None:
            self._told = message(self.state)
        made: M = self._told
        return made


class _Watcher(Generic[T]):
    """One watcher's view: the newest state, and a signal that there is a newer one."""

    def __init__(self) -> None:
        self.newest: Shown[T] | None = None
        self.gone = False
        self.changed = asyncio.Event()

    def show(self, shown: Shown[T] | None) -> None:
        if shown is None:
            self.gone = True
        elif shown is self.newest:
            return
        self.newest = shown
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
        # In the order in which they were last looked at.
        self._watchers: dict[int, set[_Watcher[T]]] = {}
        self._shown: dict[int, Shown[T]] = {}
        self._told_times: defaultdict[int, float] = defaultdict(float)
        self._watcher_count = 0
        # A query that began earlier must not be shown later: the counts would go back.
        self._one_at_a_time = asyncio.Lock()
        self._stopped = False

    async def watch(self, number: int) -> AsyncGenerator[tuple[Shown[T], bool], None]:
        """The state at once, then the newest whenever it has changed; (state, whether it is only a heartbeat).

        Ends after a final state, and when the thing was deleted. Raises ShuttingDown when the process stops.
        """
        watcher: _Watcher[T] = _Watcher()
        self._watchers.setdefault(number, set()).add(watcher)
        self._watcher_count += 1
        try:
            await self._refresh([number], only=watcher)
            while True:
                heartbeat = False
                try:
                    async with asyncio.timeout(HEARTBEAT_SECONDS):
                        await watcher.changed.wait()
                except TimeoutError:
                    heartbeat = True
                watcher.changed.clear()
                shown = watcher.newest
                if self._stopped:
                    raise ShuttingDown("The server is shutting down: watch again, on any server.")
                if watcher.gone or shown is None:
                    return
                yield shown, heartbeat
                if _final(shown.state) and not watcher.changed.is_set():
                    return
        finally:
            self._watcher_count -= 1
            self._watchers[number].discard(watcher)
            if not self._watchers[number]:
                del self._watchers[number]
                self._shown.pop(number, None)
                self._told_times.pop(number, None)

    def stop(self) -> None:
        """Sends all watchers away, to watch on another server."""
        self._stopped = True
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.changed.set()

    async def poll(self) -> None:
        """Shows watchers the newest state, if it is time to tell them."""
        if numbers := list(self._watchers)[:LOOKED_AT_MAX]:
            for number in numbers:
                self._watchers[number] = self._watchers.pop(number)
            await self._refresh(numbers)

    def is_watched(self, number: int) -> bool:
        """Whether anybody watches it."""
        return number in self._watchers

    async def look_at(self, number: int) -> None:
        """Shows the newest state to the watchers of one thing, if it has some."""
        if self.is_watched(number):
            await self._refresh([number])

    async def _refresh(self, numbers: list[int], only: _Watcher[T] | None = None) -> None:
        """Shows the newest state to those watchers of `numbers` who are to be told of it, or to one watcher."""
        async with self._one_at_a_time:
            with served_for_all():
                found = await self._load(numbers)
                for number in numbers:
                    state = found.get(number)
                    is_due = self._has_moved(number, state) or (only is None and self._is_time_for(number))
                    if not is_due and only is None:
                        continue
                    shown = await self._grouped(number, state) if state is not None else None
                    if only is not None:
                        only.show(shown)
                    if is_due:
                        self._told_times[number] = time.monotonic()
                        await _show(list(self._watchers.get(number, ())), shown)

    def _has_moved(self, number: int, state: T | None) -> bool:
        """Whether it has come to another state than was shown last, or was deleted."""
        shown = self._shown.get(number)
        return shown is None or state is None or _stands(shown.state) != _stands(state)

    def _is_time_for(self, number: int) -> bool:
        return time.monotonic() >= self._told_times[number] + self._watcher_count * SECONDS_PER_WATCHER

    async def _grouped(self, number: int, state: T) -> Shown[T]:
        """`state` with its error groups, which are read again only when there are more rejects."""
        shown = self._shown.get(number)
        same = shown is not None and shown.state.counts.rejected == state.counts.rejected
        # EMPTY_PAYLOAD is an error without a reject, so the last state is read whole.
        if shown is not None and same and not _final(state):
            state = replace(
                state,
                upload=replace(state.upload, groups=shown.state.upload.groups),
                processing=replace(state.processing, groups=shown.state.processing.groups),
            )
        else:
            state = await self._with_groups(state)
        if shown is None or state != shown.state:
            shown = Shown(state)
        if number in self._watchers:
            self._shown[number] = shown
        return shown


async def _show(watchers: Iterable[_Watcher[T]], shown: Shown[T] | None) -> None:
    for told, watcher in enumerate(watchers, start=1):
        watcher.show(shown)
        if told % TOLD_AT_ONCE == 0:
            await asyncio.sleep(0)


def _stands(state: Import | Batch) -> str:
    return state.state if isinstance(state, Import) else state.status


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
        if not self.imports.is_watched(import_id):
            return
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
