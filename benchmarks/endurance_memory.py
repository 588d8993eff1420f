"""Resident memory of a process, and how it grows with the work."""

import contextlib
import ctypes
import gc
import math
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from edgedistill.runtime.student_t import student_t_quantile

WARM_UP = 0.5  # of the blocks: caches, pools and the allocator's arenas fill
READINGS = 5  # whose median is a level
LIMIT = 10.0  # bytes a prediction: less than the smallest Python object
CONFIDENCE = 0.95


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """Growth of resident memory, in bytes per prediction.

    The mean of what each stretch of work added, with Student's interval, between medians of some readings, since a
    single one may be taken while threads hold more. Memory that breathes makes the interval wider, never narrower.

    Attributes:
        mean: bytes a prediction.
        low: lower end.
        high: upper end.
        stretches: of work, after warming up.
        stretch: predictions of each.
        first_mb: resident after warming up.
        last_mb: resident at the end.
    """

    mean: float
    low: float
    high: float
    stretches: int
    stretch: int
    first_mb: float
    last_mb: float

    @property
    def steady(self) -> bool:
        """Whether growth of `LIMIT` is ruled out."""
        return self.high < LIMIT

    @property
    def leaks(self) -> bool:
        """Whether it surely grows by more than `LIMIT`."""
        return self.low > LIMIT


def give_back() -> None:
    """Let go of what is free: Python's cycles, and the allocator's freed pages, whose number is chance with threads."""
    gc.collect()
    with contextlib.suppress(AttributeError):  # of glibc alone
        ctypes.CDLL(None).malloc_trim(0)


def resident(pid: int | str = "self") -> int:
    """Bytes of a process that are in memory; Linux."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def growth(after_blocks: Sequence[int], block: int) -> Growth:
    """Growth from the resident bytes after each block of `block` predictions."""
    kept = np.asarray(after_blocks[math.floor(WARM_UP * len(after_blocks)) :], float)
    levels = np.median(kept[: len(kept) // READINGS * READINGS].reshape(-1, READINGS), axis=1)
    added = np.diff(levels) / (block * READINGS)
    mean, deviation = float(added.mean()), float(added.std(ddof=1))
    half = student_t_quantile((1 + CONFIDENCE) / 2, len(added) - 1) * deviation / math.sqrt(len(added))
    return Growth(
        mean=mean,
        low=mean - half,
        high=mean + half,
        stretches=len(added),
        stretch=block * READINGS,
        first_mb=float(levels[0]) / 1e6,
        last_mb=float(levels[-1]) / 1e6,
    )
