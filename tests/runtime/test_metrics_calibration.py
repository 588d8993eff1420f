import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedistill.runtime import metrics
from edgedistill.runtime.metrics import calibration


def by_loops(scores, targets, bins):
    """UD Eq. 2, one probability at a time."""
    errors = []
    for column, truth in zip(scores.T.tolist(), targets.T.tolist(), strict=True):
        held = [[] for _ in range(bins)]
        for p, y in zip(column, truth, strict=True):
            if y >= 0:
                held[min(int(p * bins), bins - 1)].append((p, y))
        total = sum(map(len, held))
        if total:
            gaps = [abs(sum(y for _, y in pairs) - sum(p for p, _ in pairs)) for pairs in held]
            errors.append(sum(gaps) / total)
    return sum(errors) / len(errors) if errors else float("nan")


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    images=st.integers(0, 30),
    classes=st.integers(1, 5),
    bins=st.sampled_from([1, 4, 15]),
    levels=st.sampled_from([1, 15, 997]),
    unknown=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_calibration_errors_are_those_of_the_loops(seed, images, classes, bins, levels, unknown):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels + 1, (images, classes)) / levels
    targets = (rng.random((images, classes)) < 0.4).astype(np.int8)
    targets[rng.random((images, classes)) < unknown] = -1
    found = metrics.classwise_calibration_error(scores, targets, bins)
    assert found == pytest.approx(by_loops(scores, targets, bins), abs=1e-12, nan_ok=True)
    together = by_loops(scores.reshape(-1, 1), targets.reshape(-1, 1), bins)
    found = metrics.expected_calibration_error(scores, targets, bins)
    assert found == pytest.approx(together, abs=1e-12, nan_ok=True)


def test_by_hand():
    # First class: 0.75 said, 1 of 2 true: 0.25 off. Second: 0.25 and 1.0 said, each right by 0.25 and 0: 0.125 off.
    scores = np.array([[0.75, 0.25], [0.75, 1.0]], np.float32)
    targets = np.array([[1, 0], [0, 1]], np.int8)
    assert metrics.classwise_calibration_error(scores, targets, bins=4) == pytest.approx((0.25 + 0.125) / 2)
    # Together: 0.75 said twice and 0.25 and 1.0 once each, right by 0.5 in sum, by 0.25 and by 0.
    assert metrics.expected_calibration_error(scores, targets, bins=4) == pytest.approx((0.5 + 0.25) / 4)


def test_a_class_weighs_the_same_however_few_its_labels():
    scores = np.full((100, 2), 0.5)
    targets = np.tile(np.array([[0, 1]], np.int8), (100, 1))
    targets[1:, 1] = -1  # one image alone knows the second class
    assert metrics.classwise_calibration_error(scores, targets) == pytest.approx(0.5)
    targets[0, 1] = -1
    assert metrics.classwise_calibration_error(scores, targets) == pytest.approx(0.5)


def test_probabilities_that_come_true_as_often_as_they_say_have_no_error():
    scores = np.repeat([[0.2], [0.6]], 10, axis=0)
    targets = np.array([1] * 2 + [0] * 8 + [1] * 6 + [0] * 4, np.int8)[:, None]
    assert metrics.classwise_calibration_error(scores, targets) == pytest.approx(0.0, abs=1e-12)
    found = metrics.calibration_bins(scores, targets)
    filled = found.count > 0
    assert found.count[filled].tolist() == [10, 10]
    np.testing.assert_allclose(found.confidence[filled], [0.2, 0.6])
    np.testing.assert_allclose(found.accuracy[filled], [0.2, 0.6])
    assert np.isnan(found.accuracy[~filled]).all()


def test_bins_hold_every_known_label_once(monkeypatch):
    rng = np.random.default_rng(4)
    scores = rng.random((50, 3), np.float32)
    targets = rng.integers(-1, 2, (50, 3)).astype(np.int8)
    whole = metrics.calibration_bins(scores, targets)
    known = targets >= 0
    assert whole.count.sum() == known.sum()
    assert (whole.count * whole.accuracy)[whole.count > 0].sum() == pytest.approx((targets == 1).sum())
    places = np.histogram(scores[known], whole.edges)[0]
    np.testing.assert_array_equal(whole.count, places)
    monkeypatch.setattr(calibration, "_BLOCK_ELEMENTS", 20)
    for one, other in zip(whole, metrics.calibration_bins(scores, targets), strict=True):
        np.testing.assert_allclose(one, other)


def test_logits_are_no_probabilities():
    with pytest.raises(ValueError, match=r"from -2 to 3 are no probabilities"):
        metrics.classwise_calibration_error(np.array([[-2.0, 3.0]]), np.zeros((1, 2), np.int8))
    with pytest.raises(ValueError, match="bins must be at least 1"):
        metrics.calibration_bins(np.zeros((1, 2)), np.zeros((1, 2), np.int8), bins=0)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_probabilities_of_any_dtype_give_the_same(dtype):
    eighths = np.random.default_rng(7).integers(0, 9, (60, 4)) / 8
    targets = (np.random.default_rng(8).random((60, 4)) < eighths).astype(np.int8)
    found = metrics.classwise_calibration_error(eighths.astype(dtype), targets)
    np.testing.assert_allclose(found, metrics.classwise_calibration_error(eighths, targets))


def test_truth_values_are_probabilities():
    scores, targets = np.array([[True], [False], [True]]), np.array([[1], [0], [0]], np.int8)
    assert metrics.classwise_calibration_error(scores, targets) == pytest.approx(1 / 3)
    assert metrics.calibration_bins(scores, targets).count.sum() == 3


def test_targets_that_are_none_are_refused():
    with pytest.raises(ValueError, match="targets must be 1, 0 or -1, not 2"):
        metrics.calibration_bins(np.zeros((1, 1)), np.array([[2]]))
