"""How the C library keeps the heap: what comes and goes all the time is taken from there, and stays there.

Left alone, glibc gives the end of the heap back whenever it is free, and asks for it again with the next message or
chunk: that makes each of its pages anew, two microseconds for 4 KiB on a virtual machine. And it has a heap for each
thread, with as much free space in each.

But what is free in the middle of the heap it never gives back. Small things that stay come to lie between the large
ones that come and go, and what is free between them is too small for the next large one: the heap would grow for hours.
So these pages are given back now and then.
"""

import asyncio
import ctypes

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

GIVE_BACK_SECONDS = 10.0
"""How often free pages are given back: seldom enough that making them anew costs nothing that could be measured."""

_libc = ctypes.CDLL(None)
_IS_GLIBC = hasattr(_libc, "gnu_get_libc_version")


def keep_heap_whole() -> None:
    """To be called before there are threads. Does nothing where there is no glibc."""
    if _IS_GLIBC:
        for option, value in _OPTIONS.items():
            _libc.mallopt(option, value)


async def give_pages_back() -> None:
    """Gives the free pages of the heap back every GIVE_BACK_SECONDS, until it is cancelled."""
    while _IS_GLIBC:
        await asyncio.sleep(GIVE_BACK_SECONDS)
        # In a thread: it takes milliseconds, without the interpreter's lock.
        await asyncio.to_thread(_libc.malloc_trim, 0)
