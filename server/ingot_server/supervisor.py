"""Keeps several processes at the same work, and starts another for each that dies.

They are programs of their own, because gRPC's threads do not survive a fork. Each says `ready` once, and ends in order
when its stdin is closed: we do it to stop it, and the kernel does it if we die, however we die. What a dead one was
working on goes to the others when its leases have run out.
"""

import asyncio
import logging
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from contextlib import suppress

log = logging.getLogger(__name__)

STEADY_SECONDS = 60.0
"""Who has lived so long is started again at once."""
PAUSE_SECONDS_MIN = 0.1
PAUSE_SECONDS_MAX = 30.0


class ProcessFailed(Exception):
    """A server process ended before it was ready; it has said why."""


class Supervisor:
    """The processes that run one command of `ingot-server`."""

    def __init__(self, *arguments: str) -> None:
        # Not -m alone: a file in the folder that we were started in must not pass for ours.
        self._command = (sys.executable, "-P", "-m", "ingot_server", *arguments)
        self._environment: Mapping[str, str] = {}
        self._running: set[Process] = set()
        self._keeping: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()

    async def start(self, processes: int, environment: Mapping[str, str]) -> None:
        """Returns when all are ready. Raises ProcessFailed if one ends before."""
        self._environment = environment
        # What is wrong with the settings is wrong for all of them: one is enough to say so.
        await self._begin()
        for outcome in await asyncio.gather(*(self._begin() for _ in range(processes - 1)), return_exceptions=True):
            if outcome is not None:
                raise outcome

    async def stop(self) -> None:
        """Has all of them end in order, and returns when they have."""
        self._stopping.set()
        for process in self._running:
            _close(process)
        await asyncio.gather(*self._keeping, *(process.wait() for process in self._running))

    def kill(self) -> None:
        """Ends all of them at once."""
        for process in self._running:
            with suppress(ProcessLookupError):
                process.kill()

    async def _begin(self) -> None:
        process = await self._spawn()
        assert process.stdout is not None  # noqa: S101 it is a pipe
        if not await process.stdout.readline():
            await process.wait()
            self._running.discard(process)
            raise ProcessFailed
        self._keeping.append(asyncio.create_task(self._keep(process)))

    async def _spawn(self) -> Process:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            env=self._environment,
            stdin=PIPE,
            stdout=PIPE,
            # A terminal's Ctrl-C is for us alone.
            start_new_session=True,
        )
        self._running.add(process)
        if self._stopping.is_set():
            _close(process)
        return process

    async def _keep(self, process: Process) -> None:
        """Starts another process whenever this one has ended, until we stop."""
        pause_seconds = 0.0
        while True:
            began = time.monotonic()
            code = await process.wait()
            self._running.discard(process)
            if self._stopping.is_set():
                return
            pause_seconds = next_pause(pause_seconds, lived_seconds=time.monotonic() - began)
            facts = {"pid": process.pid, "exit_code": code, "pause_seconds": pause_seconds}
            log.error("a server process ended; starting another", extra=facts)
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause_seconds):
                        await self._stopping.wait()
                if self._stopping.is_set():
                    return
                try:
                    process = await self._spawn()
                    break
                except OSError:
                    log.exception("a server process cannot be started; trying again")
                    pause_seconds = next_pause(pause_seconds, lived_seconds=0)


def next_pause(pause_seconds: float, lived_seconds: float) -> float:
    """How long to wait before another is started: twice as long as the last time, if the one that ended had not lived
    long since then."""
    if lived_seconds >= STEADY_SECONDS:
        return PAUSE_SECONDS_MIN
    return min(max(PAUSE_SECONDS_MIN, 2 * pause_seconds), PAUSE_SECONDS_MAX)


def _close(process: Process) -> None:
    assert process.stdin is not None  # noqa: S101 it is a pipe
    process.stdin.close()
