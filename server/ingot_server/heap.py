"""How the C library keeps the heap: what comes and goes all the time is taken from there, and stays there.

Left alone, glibc gives the end of the heap back whenever it is free, and asks for it again with the next message or
chunk: that makes each of its pages anew, two microseconds for 4 KiB on a virtual machine. And it has a heap for each
thread, with as much free space in each.
"""

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


def keep_heap_whole() -> None:
    """To be called before there are threads. Does nothing where there is no glibc."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        for option, value in _OPTIONS.items():
            libc.mallopt(option, value)
