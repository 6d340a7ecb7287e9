"""The C heap of a process that runs for weeks: what is freed goes back to the system.

glibc gives threads heaps of their own, up to eight a core, and once a large block was freed it
keeps blocks of that size: tokenizers and the JSON of many requests leave holes in all of them, and
the process grows for hours though nothing is lost. Other C libraries do neither.
"""

from __future__ import annotations

import ctypes

# <malloc.h>
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
#: Bytes: glibc's own, which it raises by itself unless it is told.
_THRESHOLD = 128 << 10


def tend_heap() -> None:
    """One heap for all threads; large blocks are the system's. For before there are threads."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_TRIM_THRESHOLD, _THRESHOLD)
        mallopt(_M_MMAP_THRESHOLD, _THRESHOLD)


def trim_heap() -> None:
    """Give back what loading has left."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
