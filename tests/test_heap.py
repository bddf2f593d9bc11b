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


def test_what_comes_and_goes_needs_no_new_pages() -> None:
    assert int(_run(ANEW).stdout) < 100


def test_threads_have_no_heaps_of_their_own() -> None:
    told = _run(THREADS).stderr
    assert "Arena 0:" in told
    assert "Arena 1:" not in told


def _run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
