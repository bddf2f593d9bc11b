"""How the C library keeps the heap: so that what comes and goes leaves no holes that nothing fits into.

Left alone, glibc takes ever larger things from the heap, and has one for each thread. Small things that stay then cut
what was free into pieces, among them what grpc.aio loses with calls that are given up, some eighty bytes each time
(grpc/grpc#43360), and the heap grows for hours although no more of it is used.
"""

import ctypes

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_OPTIONS = {
    # What is larger has pages of its own, which are given back at once. From 512 KiB on is not enough.
    _M_MMAP_THRESHOLD: 256 * 1024,
    # Otherwise the end of the heap would be given back, and asked for again, all the time.
    _M_TRIM_THRESHOLD: 32 * 1024 * 1024,
    # Our threads hold the interpreter's lock most of the time, so they have little use for heaps of their own.
    _M_ARENA_MAX: 1,
}


def keep_heap_whole() -> None:
    """To be called before there are threads. Does nothing where there is no glibc."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        for option, value in _OPTIONS.items():
            libc.mallopt(option, value)
