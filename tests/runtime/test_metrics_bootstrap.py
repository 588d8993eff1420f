import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedistill.runtime import metrics
from edgedistill.runtime.errors import ConfigError
from edgedistill.runtime.metrics import average_precision, bootstrap


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
    got = bootstrap.resampled_average_precision(scores, targets, weights)
    for row, weight in zip(got, weights, strict=True):
        repeated = np.repeat(np.arange(images), weight)
        np.testing.assert_allclose(row, average_precision(scores[repeated], targets[repeated]), atol=1e-12)


def test_unsigned_scores_do_not_wrap():
    scores, targets = np.array([[0], [1], [2], [255]], np.uint8), np.array([[0], [0], [0], [1]], np.int8)
    got = bootstrap.resampled_average_precision(scores, targets, np.ones((1, 4), np.uint8))
    np.testing.assert_array_equal(got, [[1.0]])


def test_nan_scores_are_refused():
    with pytest.raises(ValueError, match="1 of 2 images have NaN scores"):
        bootstrap.bootstrap_average_precision([np.array([[np.nan], [1.0]])], np.array([[0], [1]], np.int8))


def test_chunks_do_not_change_the_resamples(monkeypatch):
    scores, targets = problem(1, 50, 4, 100)
    whole = bootstrap.bootstrap_average_precision([scores], targets, resamples=30, seed=7)
    monkeypatch.setattr(bootstrap, "_CHUNK_BYTES", 7 * 50)
    np.testing.assert_array_equal(bootstrap.bootstrap_average_precision([scores], targets, resamples=30, seed=7), whole)


def test_a_class_that_loses_its_positives_is_left_out_of_that_resample():
    scores, targets = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[1, 0], [0, 1]], np.int8)
    got = bootstrap.resampled_average_precision(scores, targets, np.array([[2, 0]], np.uint8))
    np.testing.assert_array_equal(np.isnan(got), [[False, True]])
    np.testing.assert_array_equal(metrics.mean_over_classes(got), [100.0])


def test_no_positives_at_all_gives_no_interval_and_says_why():
    got = metrics.percentile_interval(np.nan, np.full(400, np.nan), 0.95)
    assert (got.estimate, got.low, got.high) == (None, None, None)
    assert (got.resamples, got.note) == (400, "no image shows any of the classes")


def test_the_interval_lies_between_the_quantiles_and_says_from_how_many_resamples():
    got = metrics.percentile_interval(0.5, np.linspace(0, 1, 1001), 0.9)
    assert (got.estimate, got.low, got.high) == pytest.approx((0.5, 0.05, 0.95))
    assert (got.confidence, got.resamples) == (0.9, 1001)


@pytest.mark.parametrize(("confidence", "least"), [(0.95, 400), (0.9, 200), (0.99, 2000), (0.5, 40)])
def test_ten_resamples_lie_beyond_either_end(confidence, least):
    assert metrics.least_resamples(confidence) == least
    assert metrics.percentile_interval(0.0, np.zeros(least), confidence).resamples == least
    with pytest.raises(ConfigError, match=rf"{least - 1} resamples are too few .* take {least}\."):
        metrics.percentile_interval(0.0, np.zeros(least - 1), confidence)


def test_the_default_number_of_resamples_is_enough_for_95_percent():
    scores, targets = problem(3, 20, 2, 100)
    assert bootstrap.bootstrap_average_precision([scores], targets).shape[1] >= metrics.least_resamples(0.95)


@pytest.mark.parametrize("confidence", [0.0, 1.0, -0.5, 95.0, float("nan")])
def test_a_confidence_that_is_no_share_is_refused(confidence):
    with pytest.raises(ConfigError, match="must lie between 0 and 1"):
        metrics.least_resamples(confidence)
