"""Student's t interval for a handful of seeds."""

import math
from collections.abc import Sequence

import numpy as np

from ...runtime.interval import Interval


def paired_interval(differences: Sequence[float] | np.ndarray, confidence: float = 0.95) -> Interval:
    """The mean of paired differences (e.g. the gain of a method per seed) with Student's t interval.

    mean +- t((1 + confidence)/2, n - 1) s / sqrt(n), s with n - 1 in the denominator. A single difference has no
    interval: low and high are None.

    Args:
        differences: (n,), n >= 1, in any unit.
        confidence: two-sided level.

    Raises:
        ValueError: no difference, one that is not finite, or a confidence outside (0, 1).
    """
    from scipy.special import stdtrit  # the quantile of Student's t; comes with scikit-learn

    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"needs at least one finite difference, got {differences!r}")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence {confidence:g} must lie between 0 and 1")
    mean = float(values.mean())
    if values.size == 1:
        return Interval(estimate=mean, low=None, high=None, confidence=confidence, note="a single value")
    deviation = float(values.std(ddof=1))
    half = float(stdtrit(values.size - 1, (1 + confidence) / 2)) * deviation / math.sqrt(values.size)
    return Interval(estimate=mean, low=mean - half, high=mean + half, confidence=confidence)
