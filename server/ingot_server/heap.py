"""How the C library keeps the heap: what comes and goes all the time is taken from there, and stays there.

Left alone, glibc gives the end of the heap back whenever it is free, and asks for it again with the next message or
chunk: that makes each of its pages anew, two microseconds for 4 KiB on a virtual machine. And it has a heap for each
thread, with as much free space in each.

But what is free in the middle of the heap it never gives back. Small things that stay come to lie between the large
ones that come and go, and what is free between them is too small for the next large one: the heap would grow for hours.
So these pages are given back when there are many.

And a page stays with a single small thing in it. grpc.aio loses one with most calls that are given up
(grpc/grpc#43360), which would keep several times its size from others. So a process in which many were given up keeps
large things apart from then on, and takes the time that this costs.
"""

import asyncio
import ctypes
import mmap
import time
from pathlib import Path

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_OPTIONS = {
    # More than that is never free at the end of the heap for long.
    _M_TRIM_THRESHOLD: 256 * 1024 * 1024,
    # The most that glibc takes; what is larger has pages of its own.
    _M_MMAP_THRESHOLD: 32 * 1024 * 1024,
    # Our threads hold the interpreter's lock most of the time, so they have little use for heaps of their own.
    _M_ARENA_MAX: 1,
}

LARGE_BYTES = 128 * 1024
"""From which size on something has pages of its own, once large things are kept apart."""

GIVE_BACK_BYTES = 48 * 1024 * 1024
"""Free pages are given back when memory has grown by so much since the last time."""
GIVE_BACK_SECONDS = 2.0
"""How often to look. Making the pages anew costs at most a hundredth of the time."""
GIVE_BACK_ANYWAY_SECONDS = 60.0
"""So much later they are given back even if memory has not grown, as after many uploads at once."""

_libc = ctypes.CDLL(None)
_IS_GLIBC = hasattr(_libc, "gnu_get_libc_version")


def keep_heap_whole() -> None:
    """To be called before there are threads. Does nothing where there is no glibc."""
    if _IS_GLIBC:
        for option, value in _OPTIONS.items():
            _libc.mallopt(option, value)


def keep_large_apart() -> None:
    """Gives whatever is large pages of its own from now on. It costs a server an eighth of its processor time."""
    if _IS_GLIBC:
        _libc.mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)


async def give_pages_back() -> None:
    """Gives the free pages of the heap back, until it is cancelled."""
    if not _IS_GLIBC:
        return
    kept, anyway = _resident_bytes(), time.monotonic() + GIVE_BACK_ANYWAY_SECONDS
    while True:
        await asyncio.sleep(GIVE_BACK_SECONDS)
        if _resident_bytes() >= kept + GIVE_BACK_BYTES or time.monotonic() >= anyway:
            # In a thread: it takes milliseconds, without the interpreter's lock.
            await asyncio.to_thread(_libc.malloc_trim, 0)
            kept, anyway = _resident_bytes(), time.monotonic() + GIVE_BACK_ANYWAY_SECONDS


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * mmap.PAGESIZE
