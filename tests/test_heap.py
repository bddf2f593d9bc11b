"""The heap of the C library."""

import subprocess
import sys

# Python has an allocator of its own for what is smaller.
SCATTERED = """
import resource
from pathlib import Path
from ingot_server.heap import keep_heap_whole

def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

keep_heap_whole()
# By giving back what is large, glibc learns to take it from the heap.
for _ in range(3):
    b"x" * 4_000_000
before = resident_bytes()
pairs = [(b"x" * 600, b"x" * 1_000_000) for _ in range(100)]
kept = [small for small, _ in pairs]
full = resident_bytes()
del pairs
print(full - before, resident_bytes() - before)
"""
THREADS = """
import asyncio, ctypes, threading
from ingot_server.heap import keep_heap_whole

async def main():
    together = threading.Barrier(4)
    await asyncio.gather(*(asyncio.to_thread(together.wait) for _ in range(4)))
    ctypes.CDLL(None).malloc_stats()

keep_heap_whole()
asyncio.run(main())
"""


def test_what_is_large_and_lay_between_what_is_kept_is_given_back() -> None:
    full_bytes, left_bytes = map(int, _run(SCATTERED).stdout.split())
    assert full_bytes > 90_000_000
    assert left_bytes < 10_000_000


def test_threads_have_no_heaps_of_their_own() -> None:
    told = _run(THREADS).stderr
    assert "Arena 0:" in told
    assert "Arena 1:" not in told


def _run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
