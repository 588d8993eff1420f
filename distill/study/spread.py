"""One number under several seeds, and the gain of one model over another, paired by seed."""

import math
import statistics
from collections.abc import Sequence

from ...runtime.interval import Interval
from ...runtime.record import Record


class Spread(Record):
    """One number under several seeds.

    Attributes:
        values: per seed, in the order of the seeds; None where it does not exist (a split without positives).
        mean: over the seeds; None where a value is missing.
        deviation: sample standard deviation (n - 1 in the denominator); None for a single seed.
    """

    values: tuple[float | None, ...]
    mean: float | None
    deviation: float | None


class Gain(Record):
    """What distillation brings over the same student without a teacher.

    Attributes:
        differences: test mAP of student minus baseline in points, per seed.
        interval: their mean with Student's t interval; no ends for a single seed.
    """

    differences: tuple[float, ...]
    interval: Interval


def spread(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation; NaN says that a value does not exist."""
    found = [float(value) for value in values]
    if not all(map(math.isfinite, found)):
        kept = tuple(value if math.isfinite(value) else None for value in found)
        return Spread(values=kept, mean=None, deviation=None)
    deviation = statistics.stdev(found) if len(found) > 1 else None
    return Spread(values=tuple(found), mean=statistics.fmean(found), deviation=deviation)
