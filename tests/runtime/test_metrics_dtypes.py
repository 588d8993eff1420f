"""Every metric gives the same number whatever dtype and memory layout the same scores and targets come in."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from edgedistill.runtime import metrics

# Eighths are exact in every floating dtype, and times eight in every integer one.
RNG = np.random.default_rng(7)
EIGHTHS = RNG.integers(0, 9, (60, 4))
TARGETS = (RNG.random((60, 4)) < 0.3 + 0.05 * EIGHTHS).astype(np.int8)
FLOATS = (np.float16, np.float32, np.float64, np.longdouble)
INTEGERS = (np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64)


def ordered_only(scores, targets):
    """Every number that depends on the order of the scores alone."""
    ap = metrics.average_precision(scores, targets)
    parts = [metrics.evaluate(scores, targets, threshold=None, top_k=2), metrics.evaluate(scores, targets, "oracle_k")]
    return [*ap, *(part[name] for part in parts for name in ("mAP", "CF1", "OF1", "OP", "OR"))]


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS], ids=lambda dtype: dtype.__name__)
def test_the_order_of_scores_of_any_dtype(dtype):
    found = ordered_only(EIGHTHS.astype(dtype), TARGETS)
    expected = [average_precision_score(TARGETS[:, c], EIGHTHS[:, c]) for c in range(4)]
    np.testing.assert_allclose(found[:4], expected)
    np.testing.assert_allclose(found, ordered_only(EIGHTHS / 8, TARGETS))


@pytest.mark.parametrize("dtype", INTEGERS, ids=lambda dtype: dtype.__name__)
def test_the_extremes_of_an_integer_dtype_keep_their_order(dtype):
    ends = np.iinfo(dtype)
    scores = np.array([[ends.min], [ends.min + 1], [ends.max - 1], [ends.max]], dtype)
    for best in range(4):
        targets = np.eye(4, dtype=np.int8)[:, [best]]
        assert metrics.average_precision(scores, targets).tolist() == [1 / (4 - best)]
        row = metrics.evaluate(scores.T, np.eye(4, dtype=np.int8)[[3]], threshold=None, top_k=1)
        assert row["OF1"] == metrics.evaluate(scores.T, np.eye(4, dtype=np.int8)[[3]], "oracle_k")["OF1"] == 100.0


def test_truth_values_as_scores():
    scores, targets = np.array([[True], [False], [True]]), np.array([[1], [0], [0]], np.int8)
    assert metrics.average_precision(scores, targets).tolist() == [0.5]
    assert metrics.evaluate(scores, targets)["OP"] == 50.0
    assert metrics.best_thresholds(scores, targets).tolist() == [0.5]


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda dtype: dtype.__name__)
def test_probabilities_of_any_dtype(dtype):
    scores = (EIGHTHS / 8).astype(dtype)
    np.testing.assert_allclose(metrics.best_thresholds(scores, TARGETS), metrics.best_thresholds(EIGHTHS / 8, TARGETS))
    assert metrics.evaluate(scores, TARGETS)["OF1"] == metrics.evaluate(EIGHTHS / 8, TARGETS)["OF1"]


@pytest.mark.parametrize(
    "dtype", [np.int8, np.int16, np.int64, np.float16, np.float64], ids=lambda dtype: dtype.__name__
)
def test_targets_of_any_dtype(dtype):
    targets = TARGETS.copy()
    targets[::5] = -1
    expected = ordered_only(EIGHTHS / 8, targets)
    np.testing.assert_array_equal(ordered_only(EIGHTHS / 8, targets.astype(dtype)), expected)
    for unsigned in (np.uint8, np.uint64, bool):
        assert ordered_only(EIGHTHS / 8, TARGETS.astype(unsigned)) == ordered_only(EIGHTHS / 8, TARGETS)


def test_memory_layout_does_not_matter():
    scores = RNG.random((60, 4))
    targets = (scores + RNG.normal(size=scores.shape) > 1).astype(np.int8)
    for change in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=0)[::2], lambda a: a[::-1].copy()[::-1]):
        assert ordered_only(change(scores), change(targets)) == ordered_only(scores, targets)
    assert ordered_only(scores.astype(">f8"), targets) == ordered_only(scores, targets)
    read_only = scores.copy()
    read_only.flags.writeable = False
    assert ordered_only(read_only, targets) == ordered_only(scores, targets)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64], ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("threshold", [0.1, 0.7])
def test_a_number_is_the_same_threshold_as_an_array_of_it(dtype, threshold):
    scores = np.full((1, 2), threshold, dtype)
    one, each = (metrics.evaluate(scores, [[1, 1]], limit)["OR"] for limit in (threshold, np.full(2, threshold)))
    assert one == each == (100.0 if float(scores[0, 0]) >= threshold else 0.0)


def test_infinite_scores_are_known_all_the_same():
    scores = np.array([[-np.inf, -np.inf, 0.5]])
    targets = np.array([[-1, 1, 1]], np.int8)
    assert metrics.evaluate(scores, targets, threshold=None, top_k=2)["OR"] == 100.0
    assert metrics.evaluate(scores, targets, "oracle_k")["OR"] == 100.0
    wide = np.array([[1.5e308], [-1.5e308]])
    assert metrics.best_thresholds(wide, np.array([[1], [0]], np.int8)).tolist() == [0.0]


@pytest.mark.parametrize(
    ("scores", "targets", "message"),
    [
        (np.zeros((1, 2)), np.array([[0, 2]], np.int8), "targets must be 1, 0 or -1, not 2"),
        (np.zeros((1, 2)), np.array([[0, 255]], np.uint8), "not 255"),
        (np.zeros((1, 2)), np.array([[0, 0.5]]), "not 0.5"),
        (np.zeros((1, 2)), np.array([[0, np.nan]]), "not nan"),
        (np.array([["a", "b"]]), np.zeros((1, 2), np.int8), "scores must be real numbers, not <U1"),
        (np.zeros((1, 2), complex), np.zeros((1, 2), np.int8), "not complex128"),
        (np.zeros((1, 2), object), np.zeros((1, 2), np.int8), "not object"),
    ],
)
def test_what_is_no_score_and_no_target_is_refused(scores, targets, message):
    for function in (metrics.average_precision, metrics.evaluate, metrics.best_thresholds):
        with pytest.raises(ValueError, match=message):
            function(scores, targets)


def test_a_threshold_of_nan_is_refused():
    with pytest.raises(ValueError, match="a threshold is NaN"):
        metrics.evaluate(np.zeros((1, 2)), np.zeros((1, 2), np.int8), np.array([0.5, np.nan]))


@pytest.mark.parametrize("dtype", [*INTEGERS, bool], ids=lambda dtype: dtype.__name__)
def test_sigmoid_of_integers(dtype):
    logits = np.array([0, 1, 100]).astype(dtype)
    expected = 1 / (1 + np.exp(-logits.astype(np.float64)))
    np.testing.assert_allclose(metrics.sigmoid(logits), expected, rtol=1e-6)
    if np.dtype(dtype).kind == "i":
        assert metrics.sigmoid(np.array([np.iinfo(dtype).min, -3], dtype)) == pytest.approx([0, 0.04742587], rel=1e-5)
