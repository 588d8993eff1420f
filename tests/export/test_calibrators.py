"""Histograms become ranges."""

import numpy as np
import pytest

from edgedistill.export.quantization.calibrators import BINS, CALIBRATORS, Histogram, entropy, minmax, percentile


def histogram(values: np.ndarray) -> Histogram:
    low, high = float(values.min()), float(values.max())
    return Histogram(low, high, np.histogram(values, BINS, (low, high))[0])


def rounding_error(values: np.ndarray, low: float, high: float) -> float:
    """Mean squared error of 255 levels between two ends."""
    scale = (high - low) / 255
    return float(np.mean((np.clip(np.round(values / scale) * scale, low, high) - values) ** 2))


NORMAL = np.random.default_rng(0).normal(0.5, 1.0, 200_000)


def test_minmax_keeps_everything():
    assert minmax(histogram(NORMAL)) == (NORMAL.min(), NORMAL.max())


@pytest.mark.parametrize("share", [99.0, 99.9, 99.99])
def test_a_percentile_is_that_of_the_values(share):
    low, high = percentile(share)(histogram(NORMAL))
    width = (NORMAL.max() - NORMAL.min()) / BINS
    cut = (100 - share) / 2
    assert low == pytest.approx(np.percentile(NORMAL, cut), abs=1.01 * width)
    assert high == pytest.approx(np.percentile(NORMAL, 100 - cut), abs=1.01 * width)
    assert low <= np.percentile(NORMAL, cut)  # the bin in which the cut falls is kept
    assert high >= np.percentile(NORMAL, 100 - cut)


def test_entropy_gives_up_an_outlier():
    low, high = entropy(histogram(np.append(NORMAL, 60.0)))
    assert -5 < low < -2
    assert 3 < high < 10


def test_entropy_keeps_what_is_evenly_spread():
    values = np.random.default_rng(1).uniform(-1, 3, 200_000)
    low, high = entropy(histogram(values))
    assert high - low > 0.97 * 4


def test_entropy_is_not_misled_by_the_zeros_that_a_relu_leaves():
    values = np.maximum(NORMAL - 1.0, 0.0)  # two thirds are zero
    low, high = entropy(histogram(values))
    assert low == 0
    assert rounding_error(values, low, high) < 4 * rounding_error(values, *minmax(histogram(values)))


@pytest.mark.parametrize("name", CALIBRATORS)
@pytest.mark.parametrize("value", [0.0, 2.5, -1.0])
def test_a_tensor_of_one_value_has_that_range(name, value):
    assert CALIBRATORS[name](histogram(np.full(100, value))) == (value, value)


@pytest.mark.parametrize("name", CALIBRATORS)
@pytest.mark.parametrize("values", [NORMAL, np.maximum(NORMAL, 0), np.minimum(NORMAL, 0), np.clip(NORMAL, 0, 1)])
def test_a_range_lies_within_what_was_seen(name, values):
    low, high = CALIBRATORS[name](histogram(values))
    assert values.min() - 1e-9 <= low < high <= values.max() + 1e-9
