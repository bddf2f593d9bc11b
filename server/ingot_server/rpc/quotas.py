"""What an account may ask of one server: how many calls that stream at once, and how many requests a second.

Each server counts by itself, in memory: refusing a call costs the database nothing.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from ingot_server.domain.errors import TooManyRequests, TooManyStreams, UploadIdle

Message = TypeVar("Message")


@dataclass(frozen=True, slots=True)
class QuotaLimits:
    """What an account may ask of one server; 0 is no limit."""

    open_streams: int = 0
    """How many calls that stream, in either direction, it may have open."""
    requests_per_second: float = 0
    """How many calls it may begin in a second, on average; after a pause as many at once."""
    idle_seconds: float = 0
    """After how long without a message an upload is ended."""


@dataclass(slots=True)
class _Bucket:
    requests: float
    time: float


class Quotas:
    """What the accounts ask of this server at the moment."""

    def __init__(self, limits: QuotaLimits) -> None:
        self._limits = limits
        self._streams: Counter[int] = Counter()
        self._buckets: dict[int, _Bucket] = {}

    def count_request(self, account_id: int) -> None:
        """Counts a call that begins. Raises TooManyRequests."""
        rate = self._limits.requests_per_second
        if not rate:
            return
        now, full = time.monotonic(), max(1.0, rate)
        bucket = self._buckets.setdefault(account_id, _Bucket(full, now))
        bucket.requests = min(full, bucket.requests + (now - bucket.time) * rate)
        bucket.time = now
        if bucket.requests < 1:
            # Rounded up: who comes a moment too early would have to wait again.
            wait_ms = math.ceil((1 - bucket.requests) / rate * 1000)
            raise TooManyRequests(
                f"The account may begin {rate:g} requests a second, and has begun more: try again after {wait_ms} ms,"
                " or send more records with each request.",
                retry_after=timedelta(milliseconds=wait_ms),
                limit=f"{rate:g}",
            )
        bucket.requests -= 1

    @asynccontextmanager
    async def room_for(self, account_id: int, *, streams: bool) -> AsyncIterator[None]:
        """Counts a call until the end of the block, if it streams. Raises TooManyStreams."""
        if not streams:
            yield
            return
        limit = self._limits.open_streams
        if limit and self._streams[account_id] >= limit:
            raise TooManyStreams(
                f"The account has {limit} calls open that stream, which are uploads, watches and exports, and may have"
                " no more on one server: end one, or wait for the end of one.",
                limit=limit,
            )
        self._streams[account_id] += 1
        try:
            yield
        finally:
            self._streams[account_id] -= 1
            if not self._streams[account_id]:
                del self._streams[account_id]

    async def heard(self, messages: AsyncIterator[Message]) -> AsyncIterator[Message]:
        """The messages of an upload. Raises UploadIdle if the next one does not come for too long.

        Only the time in which it is waited for counts: a server that takes its time is not held against the client.
        """
        seconds = self._limits.idle_seconds or None
        while True:
            try:
                async with asyncio.timeout(seconds) as limit:
                    message = await anext(messages)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if not limit.expired():
                    raise
                raise UploadIdle(
                    f"No message came for {seconds:g} seconds, and a silent upload is not kept open: go on from the"
                    " committed offset.",
                    seconds=f"{seconds:g}",
                ) from None
            yield message
