"""Memory that is used again instead of being given back and asked for anew."""

import ctypes
import sys
from functools import lru_cache

_MMAP_THRESHOLD, _TRIM_THRESHOLD, _ARENA_MAX = -3, -1, -8  # of glibc's mallopt
_KEPT_BYTES = 512 << 20  # a batch of 256 photos of 512 pixels is 200 MB


@lru_cache(maxsize=1)
def keep_freed_memory() -> None:
    """Have glibc keep the memory of decoded images, chunks and batches for the next ones.

    By default it goes back to the system and comes again page by page, which took longer than decoding where pages
    are dear (virtual machines): patches cut from a dense cube, 5,900 a second without this and 11,700 with it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_ARENA_MAX, 1)  # those of further threads are given back as soon as they are empty
