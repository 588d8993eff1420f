import math

import pytest
from scipy import stats

from edgedistill.distill.metrics import paired_interval


def test_paired_interval_over_seeds():
    got = paired_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    half = 2.776445 * math.sqrt(2.5) / math.sqrt(5)  # t(0.975, 4) of the printed tables
    assert (got.estimate, got.low, got.high) == pytest.approx((3.0, 3.0 - half, 3.0 + half), abs=1e-6)


@pytest.mark.parametrize(
    ("confidence", "degrees", "table"), [(0.95, 1, 12.706205), (0.9, 9, 1.833113), (0.99, 30, 2.749996)]
)
def test_its_width_is_that_of_the_printed_tables(confidence, degrees, table):
    values = [(-1.0) ** n for n in range(degrees + 1)]
    got = paired_interval(values, confidence)
    assert got.high - got.low == pytest.approx(2 * table * stats.sem(values), rel=1e-6)


def test_a_single_difference_has_no_interval():
    got = paired_interval([1.5])
    assert (got.estimate, got.low, got.high, got.note) == (1.5, None, None, "a single value")


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [[1.0, 2.0]]])
def test_paired_interval_needs_finite_differences(values):
    with pytest.raises(ValueError, match="finite difference"):
        paired_interval(values)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, float("nan")])
def test_a_confidence_that_is_no_share_is_refused(confidence):
    with pytest.raises(ValueError, match="must lie between 0 and 1"):
        paired_interval([1.0, 2.0], confidence)
