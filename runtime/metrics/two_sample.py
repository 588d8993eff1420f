"""Do two samples come from one distribution: Kolmogorov and Smirnov's distance, with its p-value and its interval."""

import math
from collections.abc import Sequence

import numpy as np

_TERMS = 100


def ks_distance(values: np.ndarray, recorded: np.ndarray) -> float:
    """The largest difference of the two samples' distribution functions, in [0, 1]; ties included.

    Args:
        values: (N,), at least one.
        recorded: (K,), at least one; a sample, or as many equally likely quantiles of one.
    """
    values, recorded = np.sort(values), np.sort(recorded)
    both = np.concatenate([values, recorded])
    one = np.searchsorted(values, both, side="right") / len(values)
    other = np.searchsorted(recorded, both, side="right") / len(recorded)
    return float(np.abs(one - other).max())


def ks_probability(distance: float, images: int, recorded: int) -> float:
    """The probability of a distance at least as large where nothing changed.

    Kolmogorov's limit with M. A. Stephens' correction for small samples (J. R. Stat. Soc. B 32, 1970).

    Args:
        distance: from `ks_distance`.
        images: N.
        recorded: how many images the recorded distribution rests on.
    """
    root = math.sqrt(images * recorded / (images + recorded))
    scaled = (root + 0.12 + 0.11 / root) * distance
    if scaled < 0.2:  # the series needs more terms there, and the probability is 1 to ten digits
        return 1.0
    series = sum((-1.0) ** (k - 1) * math.exp(-2.0 * (k * scaled) ** 2) for k in range(1, _TERMS))
    return min(1.0, max(0.0, 2.0 * series))


def ks_margin(images: int, recorded: int, error: float) -> float:
    """How far the distance of the samples may lie from that of endlessly many images, at most with probability `error`.

    Both distribution functions vary as in the bound of Dvoretzky, Kiefer, Wolfowitz and Massart; a distance above this
    is one that such samples of one distribution hardly show.
    """
    return math.sqrt(math.log(2.0 / error) / 2.0 * (1.0 / images + 1.0 / recorded))


def holm(probabilities: Sequence[float]) -> list[float]:
    """p-values corrected for being several: at 0.05 the chance of any false alarm is at most 5 %, however they depend.

    S. Holm, Scand. J. Statist. 6 (1979).
    """
    order = sorted(range(len(probabilities)), key=probabilities.__getitem__)
    corrected, largest = [1.0] * len(probabilities), 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - place) * probabilities[index]))
        corrected[index] = largest
    return corrected
