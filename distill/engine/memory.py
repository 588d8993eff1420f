"""Memory that a step frees is kept for the next one."""

import ctypes
import sys
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of malloc.h
_NEVER = 2**31 - 1


@cache
def keep_freed_memory() -> bool:
    """Ask the C library to keep what this process frees; returns whether it does from now on.

    glibc gives large blocks back to the system when they are freed, and the system clears every page before it hands it
    out again. A training step on a CPU frees and takes the same blocks each time: ten thousand page faults a step, and
    more with a teacher beside it, whose blocks end the heap in the student's place (benchmarks/allocator.py). Kept
    blocks cost no more memory than the largest step does.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, as musl
        return False
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, _NEVER))
