"""A file that is being read: goes on by itself after a fault, at the exact byte."""

import asyncio
import hashlib
import logging
import random
import time
from collections.abc import AsyncIterator

from ingot_server.pipeline.fetching.errors import Fault, FetchFailed, FileChanged
from ingot_server.pipeline.fetching.rules import FetchRules
from ingot_server.pipeline.fetching.source import Reading, Source

log = logging.getLogger(__name__)

WAIT_SECONDS_MAX = 60.0
"""After a fault, whatever Retry-After says."""
SLOWEST = 1_024
"""How many bytes a second the source must send, on an average of the time in which a silent one is given up."""


class Fetched:
    """The bytes of a file from `offset` on; to be gone through once."""

    version: str
    """What changes with the file; empty if the source does not say."""
    size: int | None
    """Of the whole file, if the source says so."""
    offset: int
    """Where the bytes begin: as asked for, or 0 if the source cannot go on there."""
    content_encoding: str
    """What the file is packed with, if the source says so: `gzip`, for example. The bytes are still packed."""

    def __init__(self, source: Source, rules: FetchRules, shown_uri: str) -> None:
        self._source = source
        self._rules = rules
        self._shown_uri = shown_uri
        self._faults = 0
        self._reading: Reading | None = None
        self._position = 0
        """How far the bytes were given out."""
        self._read_to = 0
        """How far the current reading is: below the position, if the source had to begin before it."""
        self._asked_at = time.monotonic()
        self._waited_seconds = 0.0
        self._waited_bytes = 0
        # Without a version: of what was given out, and of what is read again after a fault.
        self._given = hashlib.blake2b()
        self._repeated = hashlib.blake2b()

    async def begin(self, offset: int, version: str) -> None:
        """Opens the file, which must be of this version if one is given."""
        self._position = offset if version else 0
        reading = await self._opened(version)
        if not reading.offset:
            self._position = 0
        self.version = reading.version
        self.size = reading.size
        self.offset = self._position
        self.content_encoding = reading.content_encoding
        self._refuse_above_limit(self.size or 0)

    def end(self) -> None:
        """Closes what is open."""
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            try:
                reading = self._reading or await self._opened(self.version)
                piece = await self._new_bytes(reading)
            except Fault as fault:
                await self._wait_after(fault)
                continue
            if not piece:
                return
            self._faults = 0
            self._position += len(piece)
            self._refuse_above_limit(self._position)
            self._refuse_crawling(len(piece))
            if not self.version:
                self._given.update(piece)
            yield piece
            self._asked_at = time.monotonic()

    async def _opened(self, version: str) -> Reading:
        """Begins to read at the position, or before it."""
        while True:
            try:
                reading = self._reading = await self._source.read_from(self._position if version else 0, version)
                break
            except Fault as fault:
                await self._wait_after(fault)
        if version and reading.version != version:
            raise FileChanged
        self._read_to = reading.offset
        self._repeated = hashlib.blake2b()
        return reading

    async def _new_bytes(self, reading: Reading) -> bytes:
        """The next bytes behind the position; none at the end."""
        while True:
            piece = await reading.piece()
            if not piece:
                if self._read_to < (self._position if self.size is None else self.size):
                    raise Fault(f"the source ended early, after {self._read_to:,} bytes")
                return b""
            skip = self._position - self._read_to
            self._read_to += len(piece)
            if self.size is not None and self._read_to > self.size:
                raise FetchFailed(f"the source sends more than the {self.size:,} bytes that it announced")
            if skip and not self.version:
                self._repeated.update(piece[:skip])
                if self._read_to >= self._position and self._repeated.digest() != self._given.digest():
                    raise FileChanged
            if len(piece) > skip:
                return piece[skip:]

    def _refuse_crawling(self, received: int) -> None:
        """Counts all the time for which the source keeps us waiting, also for an answer, and after faults."""
        self._waited_seconds += time.monotonic() - self._asked_at
        self._waited_bytes += received
        patience = self._rules.tries * self._rules.stall_seconds
        if self._waited_seconds > patience:
            if self._waited_bytes < SLOWEST * patience:
                raise FetchFailed(
                    f"the source sent {self._waited_bytes:,} bytes in {self._waited_seconds:.0f} seconds: expected at"
                    f" least {SLOWEST:,} bytes a second"
                )
            self._waited_seconds = 0.0
            self._waited_bytes = 0

    async def _wait_after(self, fault: Fault) -> None:
        self.end()
        self._faults += 1
        facts = {"uri": self._shown_uri, "fault": fault.message, "offset": self._position, "faults": self._faults}
        if self._faults >= self._rules.tries:
            log.info("reading a file is given up", extra=facts)
            tried = f"given up after {self._faults} tries" if self._faults > 1 else "given up"
            raise FetchFailed(f"{fault.message} ({tried}, at byte {self._position:,})") from fault
        log.info("reading a file is tried again", extra=facts)
        backoff = self._rules.backoff_seconds * 2.0 ** (self._faults - 1) * random.uniform(0.5, 1)  # noqa: S311 no secret
        await asyncio.sleep(min(max(backoff, fault.wait_seconds or 0), WAIT_SECONDS_MAX))

    def _refuse_above_limit(self, size: int) -> None:
        if size > self._rules.bytes_max:
            raise FetchFailed(
                f"the file has {'' if self.size else 'at least '}{size:,} bytes, "
                f"and at most {self._rules.bytes_max:,} are allowed: split it"
            )
