"""Watches every import from its begin to its end, and notes what a watcher must never see."""

import asyncio
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from ingot_client import AsyncClient, Import, IngotError
from tests.faults.storm.client import outcome
from tests.faults.storm.world import ClientProcess, World

LATE_SECONDS = 60
"""How long after the end of an import its watcher may take to know."""


class Watchers:
    """One watcher for each import of a client."""

    def __init__(self, world: World, client: ClientProcess) -> None:
        self.last: dict[int, dict[str, Any]] = {}
        """By import, the final state that its watcher saw."""
        self.went_back: list[str] = []
        self._world = world
        self._client = client
        self._watching: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Watches imports as they begin, until it is cancelled."""
        while True:
            number, import_id = await self._client.began.get()
            self._watching.add(asyncio.create_task(self._watch(number, import_id)))

    async def rest(self) -> None:
        """Returns when all watchers know the end, or have had time enough."""
        if self._watching:
            _, late = await asyncio.wait(self._watching, timeout=LATE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._watching, return_exceptions=True)
            self._watching.clear()

    async def _watch(self, number: int, import_id: str) -> None:
        seen: Import | None = None
        async with AsyncClient(self._world.address, self._world.key) as ingot:
            while seen is None or not seen.final:
                with suppress(IngotError):
                    async for job in ingot.watch(import_id):
                        if seen is not None and not job.staged:
                            self._compare(seen, job)
                        seen = job
                await asyncio.sleep(0.1)
        self.last[number] = outcome(seen)

    def _compare(self, before: Import, after: Import) -> None:
        counts = asdict(after.counts)
        fallen = {
            name: (count, counts[name])
            for name, count in asdict(before.counts).items()
            if name != "pending" and counts[name] < count
        }
        if fallen:
            self.went_back.append(f"import {after.import_id}: {fallen}")
