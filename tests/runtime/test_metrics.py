import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score

from edgedistill.runtime import metrics


def problem(seed, images, classes, levels, unknown=0.0):
    """Random scores with `levels` distinct values (many ties) and sparse targets."""
    rng = np.random.default_rng(seed)
    scores = (rng.integers(0, levels, (images, classes)) / levels).astype(np.float32)
    targets = (rng.random((images, classes)) < 0.3).astype(np.int8)
    targets[rng.random((images, classes)) < unknown] = -1
    return scores, targets


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    images=st.integers(1, 40),
    classes=st.integers(1, 6),
    levels=st.sampled_from([1, 2, 5, 1000]),
    unknown=st.sampled_from([0.0, 0.3]),
)
def test_average_precision_equals_scikit_learn(seed, images, classes, levels, unknown):
    scores, targets = problem(seed, images, classes, levels, unknown)
    got = metrics.average_precision(scores, targets)
    assert got.dtype == np.float64
    for c in range(classes):
        known = targets[:, c] >= 0
        if (targets[known, c] == 1).any():
            want = average_precision_score(targets[known, c], scores[known, c])
            assert got[c] == pytest.approx(want, abs=1e-9)
        else:
            assert np.isnan(got[c])


def test_average_precision_by_hand():
    # Ranked: hit, miss, hit -> (1/1 + 2/3) / 2. Second class: both tied -> precision 1/2 at the end of the group.
    scores = np.array([[0.9, 0.5], [0.8, 0.5], [0.7, 0.1]])
    targets = np.array([[1, 1], [0, 0], [1, 0]], np.int8)
    np.testing.assert_allclose(metrics.average_precision(scores, targets), [5 / 6, 1 / 2])


def test_average_precision_does_not_depend_on_blocks_of_classes(monkeypatch):
    scores, targets = problem(3, 50, 7, 9, 0.1)
    whole = metrics.average_precision(scores, targets)
    monkeypatch.setattr(metrics.ranking, "_BLOCK_ELEMENTS", 100)
    np.testing.assert_array_equal(metrics.average_precision(scores, targets), whole)


def test_empty_split_has_no_average_precision():
    assert np.isnan(metrics.average_precision(np.zeros((0, 3)), np.zeros((0, 3), np.int8))).all()


def test_evaluate_agrees_with_scikit_learn_at_a_threshold():
    scores, targets = problem(1, 200, 5, 20)
    got = metrics.evaluate(scores, targets, threshold=0.6)
    predicted = scores >= 0.6
    for name, function in (("P", precision_score), ("R", recall_score)):
        assert got[f"C{name}"] == pytest.approx(100 * function(targets, predicted, average="macro"))
        assert got[f"O{name}"] == pytest.approx(100 * function(targets, predicted, average="micro"))
    assert got["CF1_mean"] == pytest.approx(100 * f1_score(targets, predicted, average="macro"))
    assert got["OF1"] == pytest.approx(100 * f1_score(targets, predicted, average="micro"))
    assert got["CF1"] == pytest.approx(2 * got["CP"] * got["CR"] / (got["CP"] + got["CR"]))
    assert got["mAP"] == pytest.approx(100 * average_precision_score(targets, scores, average="macro"))
    assert got["protocol"] == "threshold=0.6"


def test_a_class_without_positives_is_left_out_and_counted():
    scores = np.array([[0.9, 0.9], [0.1, 0.9]])
    targets = np.array([[1, 0], [0, 0]], np.int8)
    got = metrics.evaluate(scores, targets)
    assert got["classes_without_positives"] == 1
    assert got["mAP"] == got["CP"] == got["CR"] == got["CF1"] == 100.0
    assert got["OP"] == pytest.approx(100 / 3)  # its false alarms still count overall
    assert np.isnan(got["AP"][1])


def oracle_k_as_in_l2d(scores, targets):
    """Double loop over the authors' description: threshold = the (k+1)-th highest score of the image."""
    predicted = np.zeros_like(targets)
    for n, (row, truth) in enumerate(zip(scores, targets, strict=True)):
        k = int(truth.sum())
        limit = sorted(row, reverse=True)[k] if k < len(row) else -np.inf
        predicted[n] = row > limit
    return predicted


def test_oracle_k_is_the_protocol_of_l2d():
    scores, targets = problem(5, 60, 4, 50)
    targets[0] = 1  # every label true: no (k+1)-th score
    targets[1] = 0  # none true: nothing predicted
    predicted = oracle_k_as_in_l2d(scores, targets)
    got = metrics.evaluate(scores, targets, "oracle_k")
    assert got["protocol"] == "oracle_k"
    assert got["OF1"] == pytest.approx(100 * f1_score(targets, predicted, average="micro"))
    assert got["CF1_mean"] == pytest.approx(100 * f1_score(targets, predicted, average="macro"))


def test_top_k_among_what_passes_the_threshold_and_alone():
    scores = np.array([[0.9, 0.8, 0.7, 0.1]])
    targets = np.array([[1, 0, 1, 1]], np.int8)
    both = metrics.evaluate(scores, targets, threshold=0.85, top_k=3)
    assert (both["OP"], both["protocol"]) == (100.0, "top3, threshold=0.85")
    alone = metrics.evaluate(scores, targets, threshold=None, top_k=3)
    assert alone["OP"] == pytest.approx(200 / 3)
    assert alone["OR"] == pytest.approx(200 / 3)
    assert alone["protocol"] == "top3"


def test_unknown_labels_take_no_place_among_the_top_k():
    scores = np.array([[0.9, 0.8, 0.7]])
    targets = np.array([[-1, 1, 1]], np.int8)
    assert metrics.evaluate(scores, targets, threshold=None, top_k=2)["OR"] == 100.0
    assert metrics.evaluate(scores, targets, "oracle_k")["OR"] == 100.0


def test_per_class_thresholds():
    scores = np.array([[0.3, 0.6], [0.1, 0.7]])
    targets = np.array([[1, 0], [0, 1]], np.int8)
    got = metrics.evaluate(scores, targets, np.array([0.2, 0.65]))
    assert (got["OF1"], got["protocol"]) == (100.0, "per_class")


def test_nothing_predicted_is_zero_and_warns_nobody():
    scores, targets = np.zeros((3, 2)), np.ones((3, 2), np.int8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = metrics.evaluate(scores, targets)
    assert got["CP"] == got["OP"] == got["OF1"] == got["CF1"] == 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": "best"}, "unknown protocol 'best'"),
        ({"threshold": None}, "top_k"),
        ({"top_k": 0}, "at least 1"),
        ({"threshold": np.zeros(3)}, r"\(2,\)"),
    ],
)
def test_impossible_protocols(arguments, message):
    with pytest.raises(ValueError, match=message):
        metrics.evaluate(np.zeros((2, 2)), np.zeros((2, 2), np.int8), **arguments)


def test_nan_scores_are_refused():
    scores = np.array([[0.1, np.nan], [0.2, 0.3]])
    with pytest.raises(ValueError, match="1 of 2 images have NaN"):
        metrics.average_precision(scores, np.ones((2, 2), np.int8))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), images=st.integers(1, 25), levels=st.sampled_from([2, 6, 1000]))
def test_best_thresholds_reach_the_best_f1(seed, images, levels):
    scores, targets = problem(seed, images, 3, levels, 0.2)
    got = metrics.best_thresholds(scores, targets)
    for c in range(3):
        known = targets[:, c] >= 0
        s, t = scores[known, c], targets[known, c]
        if not t.any():
            assert got[c] == 0.5
            continue
        best = max(f1_score(t, s >= candidate) for candidate in np.unique(s))
        assert f1_score(t, s >= got[c]) == pytest.approx(best)


def test_best_threshold_stands_between_two_scores():
    got = metrics.best_thresholds(np.array([[0.8], [0.4], [0.2]]), np.array([[1], [0], [0]], np.int8))
    np.testing.assert_allclose(got, [0.6])


def test_sigmoid_is_stable_and_keeps_the_dtype():
    with np.errstate(over="raise", invalid="raise"):
        got = metrics.sigmoid(np.array([-200.0, -1.0, 0.0, 1.0, 200.0], np.float32))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, [0, 0.26894143, 0.5, 0.73105857, 1], atol=1e-7)
    logits = np.random.default_rng(0).normal(0, 6, 5000)
    np.testing.assert_allclose(metrics.sigmoid(logits), 1 / (1 + np.exp(-logits)), rtol=1e-14)
    np.testing.assert_allclose(metrics.sigmoid(-logits), 1 - metrics.sigmoid(logits), atol=1e-15)
    ends = metrics.sigmoid(np.array([np.inf, -np.inf, -0.0, np.nan]))
    np.testing.assert_array_equal(ends, [1.0, 0.0, 0.5, np.nan])
