"""The heap of the C library."""

import asyncio
import resource
import subprocess
import sys
from pathlib import Path

from ingot_server.heap import heap_kept_small

# Python has an allocator of its own for what is smaller, and the C library maps what is larger by itself.
SMALL_BYTES, LARGE_BYTES = 600, 100_000
PAIRS = 500
THREADS = """
import asyncio, ctypes, threading
from ingot_server.heap import heap_kept_small

async def main():
    async with heap_kept_small():
        together = threading.Barrier(4)
        await asyncio.gather(*(asyncio.to_thread(together.wait) for _ in range(4)))
        ctypes.CDLL(None).malloc_stats()

asyncio.run(main())
"""


async def test_what_is_free_between_what_is_kept_is_given_back() -> None:
    pairs = [(b"x" * SMALL_BYTES, b"x" * LARGE_BYTES) for _ in range(PAIRS)]
    full = _resident_bytes()
    kept = [small for small, _ in pairs]
    del pairs
    async with heap_kept_small(trim_seconds=0):
        while _resident_bytes() > full - PAIRS * LARGE_BYTES // 2:  # noqa: ASYNC110 the system tells nobody
            await asyncio.sleep(0)
    assert len(kept) == PAIRS


def test_threads_have_no_heaps_of_their_own() -> None:
    told = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, check=True).stderr
    assert "Arena 0:" in told
    assert "Arena 1:" not in told


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
