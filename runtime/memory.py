"""Memory that was freed and that the C library still keeps."""

import contextlib
import ctypes
import sys


def return_freed_memory() -> None:
    """Give back to the system what was freed, where the C library is glibc; any other is left as it is.

    Reading a model's file, checking it and building its graph frees tens of megabytes between blocks that stay, which
    glibc keeps for good: once a large block was freed, blocks of that size come from its heap.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # musl has no such function
            ctypes.CDLL(None).malloc_trim(0)
