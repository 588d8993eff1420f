import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from edgedistill.runtime import intervals
from edgedistill.runtime.metrics import average_precision


def problem(seed, images, classes, levels, unknown=0.1):
    rng = np.random.default_rng(seed)
    scores = (rng.integers(0, levels, (images, classes)) / levels).astype(np.float32)
    targets = (rng.random((images, classes)) < 0.3).astype(np.int8)
    targets[rng.random((images, classes)) < unknown] = -1
    return scores, targets


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), images=st.integers(1, 30), levels=st.sampled_from([1, 3, 1000]))
def test_weighted_ap_is_the_ap_of_the_repeated_images(seed, images, levels):
    scores, targets = problem(seed, images, 3, levels)
    weights = np.random.default_rng(seed).integers(0, 4, (4, images)).astype(np.uint8)
    got = intervals.resampled_average_precision(scores, targets, weights)
    for row, weight in zip(got, weights, strict=True):
        repeated = np.repeat(np.arange(images), weight)
        np.testing.assert_allclose(row, average_precision(scores[repeated], targets[repeated]), atol=1e-12)


def test_chunks_do_not_change_the_resamples(monkeypatch):
    scores, targets = problem(1, 50, 4, 100)
    whole = intervals.bootstrap_average_precision([scores], targets, resamples=30, seed=7)
    monkeypatch.setattr(intervals, "_CHUNK_BYTES", 7 * 50)
    np.testing.assert_array_equal(intervals.bootstrap_average_precision([scores], targets, resamples=30, seed=7), whole)


def test_drop_of_a_model_against_itself_is_exactly_zero():
    scores, targets = problem(2, 80, 5, 100)
    got = intervals.map_drop_interval(scores, 3 * scores + 1, targets, resamples=100)
    assert (got.estimate, got.low, got.high) == (0.0, 0.0, 0.0)


def test_pairing_makes_the_interval_of_a_drop_narrower_than_that_of_map():
    rng = np.random.default_rng(0)
    targets = (rng.random((400, 8)) < 0.2).astype(np.int8)
    scores = targets + rng.normal(size=targets.shape)
    worse = scores + 0.4 * rng.normal(size=targets.shape)
    alone = intervals.map_interval(scores, targets, resamples=200)
    drop = intervals.map_drop_interval(scores, worse, targets, resamples=200)
    assert alone.low < alone.estimate < alone.high
    assert drop.low < drop.estimate < drop.high
    assert drop.high - drop.low < (alone.high - alone.low) / 2
    assert drop.low > 0  # noise costs accuracy, and 400 images show it


def test_bootstrap_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(3)

    def sample(images):
        targets = (rng.random((images, 1)) < 0.4).astype(np.int8)
        return targets + rng.normal(size=targets.shape), targets

    truth = 100 * average_precision(*sample(200_000))[0]
    found = [intervals.map_interval(*sample(200), confidence=0.9, resamples=200) for _ in range(100)]
    assert 80 <= sum(i.low <= truth <= i.high for i in found) <= 98


def test_a_class_that_loses_its_positives_is_left_out_of_that_resample():
    scores, targets = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[1, 0], [0, 1]], np.int8)
    got = intervals.resampled_average_precision(scores, targets, np.array([[2, 0]], np.uint8))
    np.testing.assert_array_equal(np.isnan(got), [[False, True]])
    np.testing.assert_array_equal(intervals.mean_over_classes(got), [100.0])


def test_no_positives_at_all_gives_no_interval():
    got = intervals.map_interval(np.zeros((4, 2)), np.zeros((4, 2), np.int8), resamples=50)
    assert (got.estimate, got.low, got.high) == (None, None, None)


@pytest.mark.parametrize(
    ("probability", "degrees", "table"),
    [(0.975, 1, 12.706205), (0.975, 2, 4.302653), (0.975, 4, 2.776445), (0.975, 9, 2.262157), (0.995, 30, 2.749996)],
)
def test_student_t_table(probability, degrees, table):
    assert intervals.student_t_quantile(probability, degrees) == pytest.approx(table, abs=1e-6)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 6, 17, 100, 1001])
@pytest.mark.parametrize("probability", [0.001, 0.3, 0.5, 0.6, 0.95, 0.9999])
def test_student_t_agrees_with_scipy(probability, degrees):
    want = stats.t.ppf(probability, degrees)
    assert intervals.student_t_quantile(probability, degrees) == pytest.approx(want, rel=1e-7, abs=1e-9)


def test_paired_interval_over_seeds():
    gains = [1.0, 2.0, 3.0, 4.0, 5.0]
    got = intervals.paired_interval(gains)
    half = 2.776445 * math.sqrt(2.5) / math.sqrt(5)
    assert (got.estimate, got.low, got.high) == pytest.approx((3.0, 3.0 - half, 3.0 + half), abs=1e-6)
    single = intervals.paired_interval([1.5])
    assert (single.estimate, single.low, single.high) == (1.5, None, None)


@pytest.mark.parametrize("values", [[], [1.0, float("nan")]])
def test_paired_interval_needs_finite_differences(values):
    with pytest.raises(ValueError, match="finite difference"):
        intervals.paired_interval(values)


@pytest.mark.parametrize(("probability", "degrees"), [(0.0, 3), (1.0, 3), (0.9, 0)])
def test_student_t_refuses_impossible_arguments(probability, degrees):
    with pytest.raises(ValueError, match="degrees >= 1"):
        intervals.student_t_quantile(probability, degrees)
