"""The heap of the C library."""

import subprocess
import sys

ANEW = """
import resource
from ingot_server.heap import keep_heap_whole

def pages_made():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

keep_heap_whole()
b"x" * 20_000_000
before = pages_made()
for _ in range(50):
    b"x" * 20_000_000
print(pages_made() - before)
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
FREE_IN_THE_MIDDLE = """
import asyncio
from pathlib import Path
from ingot_server import heap

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

async def main():
    heap.keep_heap_whole()
    heap.GIVE_BACK_SECONDS = 0
    giving = asyncio.create_task(heap.give_pages_back())
    await asyncio.sleep(0)
    large, small = [], []
    for _ in range(100):
        large.append(b"x" * 1_000_000)
        small.append(b"x" * 1_000)
    large.clear()
    full = resident()
    while resident() > full - 90_000_000:
        await asyncio.sleep(0.01)
    giving.cancel()

asyncio.run(asyncio.wait_for(main(), 60))
"""

APART = """
from pathlib import Path
from ingot_server import heap

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

heap.keep_heap_whole()
heap.keep_large_apart()
large, small = [], []
for _ in range(100):
    large.append(b"x" * 1_000_000)
    small.append(b"x" * 1_000)
full = resident()
large.clear()
assert resident() < full - 90_000_000
"""


def test_what_comes_and_goes_needs_no_new_pages() -> None:
    assert int(_run(ANEW).stdout) < 100


def test_threads_have_no_heaps_of_their_own() -> None:
    told = _run(THREADS).stderr
    assert "Arena 0:" in told
    assert "Arena 1:" not in told


def test_pages_that_are_free_between_others_are_given_back() -> None:
    _run(FREE_IN_THE_MIDDLE)


def test_what_is_large_leaves_nothing_free_between_others_once_it_is_kept_apart() -> None:
    _run(APART)


def _run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
