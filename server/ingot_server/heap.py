"""Keeps the heap of the C library small.

It gives back to the system only what lies at the end of the heap, and keeps a heap for each thread. What is large comes
and goes there all the time, and small things that stay cut the free space into pieces that are too small for what comes
next; among them what grpc.aio loses with calls that are given up, some eighty bytes each time (grpc/grpc#43360).
"""

import asyncio
import ctypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

TRIM_SECONDS = 30.0
_M_ARENA_MAX = -8

_libc = ctypes.CDLL(None)
# Only glibc has these, and needs them.
_trim = getattr(_libc, "malloc_trim", None)
_set_option = getattr(_libc, "mallopt", None) if _trim else None


@asynccontextmanager
async def heap_kept_small(trim_seconds: float = TRIM_SECONDS) -> AsyncIterator[None]:
    """Gives free memory back again and again, until the end of the block. To be begun before there are threads."""
    if _set_option is not None:
        # Our threads hold the interpreter's lock most of the time, so they have little use for heaps of their own.
        _set_option(_M_ARENA_MAX, 1)
    trimming = asyncio.create_task(_trim_forever(trim_seconds))
    try:
        yield
    finally:
        trimming.cancel()
        await asyncio.gather(trimming, return_exceptions=True)


async def _trim_forever(trim_seconds: float) -> None:
    while _trim is not None:
        await asyncio.sleep(trim_seconds)
        # Takes milliseconds.
        await asyncio.to_thread(_trim, 0)
