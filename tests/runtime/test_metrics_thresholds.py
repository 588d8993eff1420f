"""Thresholds by a wanted precision or recall, and the temperature, held against loops and closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedistill.runtime import metrics
from edgedistill.runtime.errors import ConfigError
from edgedistill.runtime.metrics import temperature, thresholds


def problem(seed, images, classes=4, levels=1000, unknown=0.2):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels + 1, (images, classes)) / levels
    targets = (rng.random((images, classes)) < 0.3 + 0.4 * scores).astype(np.int8)
    targets[rng.random((images, classes)) < unknown] = -1
    return scores, targets


def operating_points(scores, targets):
    """(precision, recall) of every threshold that splits no tie, one at a time, and the scores they stand at."""
    known = targets >= 0
    s, t = scores[known], targets[known]
    return [((t[s >= at] == 1).mean(), (t[s >= at] == 1).sum() / (t == 1).sum()) for at in np.unique(s)]


def reached(scores, targets, threshold):
    known = targets >= 0
    s, t = scores[known], targets[known]
    return (t[s >= threshold] == 1).mean(), (t[s >= threshold] == 1).sum() / (t == 1).sum()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    images=st.integers(0, 30),
    levels=st.sampled_from([1, 6, 1000]),
    wanted=st.sampled_from([0.3, 0.5, 0.9, 1.0]),
)
def test_a_wanted_precision_or_recall_is_reached_at_the_least_cost(seed, images, levels, wanted):
    scores, targets = problem(seed, images, levels=levels)
    by_precision = metrics.precision_thresholds(scores, targets, wanted)
    by_recall = metrics.recall_thresholds(scores, targets, wanted)
    missed = metrics.ThresholdRule("precision", wanted).missed(scores, targets, by_precision)
    for c in range(scores.shape[1]):
        s, t = scores[:, c], targets[:, c]
        if not (t == 1).any():
            assert (by_precision[c], by_recall[c], missed[c]) == (0.5, 0.5, False)
            continue
        points = operating_points(s, t)
        enough = [(recall, precision) for precision, recall in points if precision >= wanted]
        found = reached(s, t, by_precision[c])
        # Where none is enough, the most precise, and of those the one that finds most.
        assert found[::-1] == max(enough) if enough else found == max(points)
        assert missed[c] == (not enough)
        assert reached(s, t, by_recall[c]) == max(point for point in points if point[1] >= wanted)


def test_the_threshold_stands_midway_to_what_it_leaves_out():
    scores = np.array([[0.9], [0.8], [0.6], [0.1]])
    targets = np.array([[1], [1], [0], [1]], np.int8)
    np.testing.assert_allclose(metrics.precision_thresholds(scores, targets, 1.0), [0.7])
    np.testing.assert_allclose(metrics.recall_thresholds(scores, targets, 0.6), [0.7])
    np.testing.assert_allclose(metrics.recall_thresholds(scores, targets, 1.0), [0.1])
    targets[2:] = [[-1], [0]]  # an unknown label is no next score
    np.testing.assert_allclose(metrics.precision_thresholds(scores, targets, 1.0), [0.45])


def test_classes_in_blocks_give_the_same(monkeypatch):
    scores, targets = problem(3, 40, classes=7)
    whole = metrics.best_thresholds(scores, targets)
    monkeypatch.setattr(thresholds, "_BLOCK_ELEMENTS", 90)
    np.testing.assert_array_equal(metrics.best_thresholds(scores, targets), whole)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (0.5, ("fixed", 0.5)),
        ("0.25", ("fixed", 0.25)),
        ("best_f1", ("best_f1", None)),
        ("precision=0.9", ("precision", 0.9)),
        ("recall = 1", ("recall", 1.0)),
        ("precision=0.12345678", ("precision", 0.12345678)),
    ],
)
def test_rules_are_read_as_they_are_written(text, rule):
    found = metrics.threshold_rule(text)
    assert found == rule
    assert metrics.threshold_rule(str(found)) == found


@pytest.mark.parametrize(
    "text", ["", "best", "precision", "precision=", "precision=0", "recall=1.1", "=0.5", 0, 1, "nan"]
)
def test_what_is_no_rule_is_one_line(text):
    with pytest.raises(ConfigError, match="give a probability such as 0.5, best_f1, precision=0.9 or recall=0.8"):
        metrics.threshold_rule(text)


def test_every_rule_chooses_by_its_own_function():
    scores, targets = problem(5, 60)
    np.testing.assert_array_equal(metrics.threshold_rule(0.3).choose(scores, targets), [0.3] * 4)
    for text, expected in (
        ("best_f1", metrics.best_thresholds(scores, targets)),
        ("precision=0.7", metrics.precision_thresholds(scores, targets, 0.7)),
        ("recall=0.7", metrics.recall_thresholds(scores, targets, 0.7)),
    ):
        np.testing.assert_array_equal(metrics.threshold_rule(text).choose(scores, targets), expected)


def loss(logits, targets, at):
    p = metrics.at_temperature(logits.astype(np.float64), at)
    return -np.log(np.where(targets == 1, p, 1 - p))[targets >= 0].mean()


def test_one_logit_that_comes_true_k_times_in_n_has_the_temperature_in_closed_form():
    # sigmoid(z / T) = k / n at the minimum, so T = z / log(k / (n - k)).
    targets = np.array([1] * 8 + [0] * 2, np.int8)[:, None]
    for z in (0.7, 3.0, 6.0):
        logits = np.full((10, 1), z, np.float32)
        assert metrics.fit_temperature(logits, targets) == pytest.approx(z / np.log(8 / 2), rel=1e-6)


@pytest.mark.parametrize("factor", [0.2, 1.0, 3.0])
def test_the_loss_is_least_there_and_unknown_labels_count_nothing(factor):
    rng = np.random.default_rng(2)
    honest = rng.normal(0, 2, (4000, 3))
    targets = (rng.random(honest.shape) < metrics.sigmoid(honest)).astype(np.int8)
    logits = (factor * honest).astype(np.float32)
    found = metrics.fit_temperature(logits, targets)
    assert found == pytest.approx(factor, rel=0.05)
    assert loss(logits, targets, found) < min(loss(logits, targets, found * by) for by in (0.99, 1.01))
    hidden = rng.random(targets.shape) < 0.3
    logits[hidden], targets[hidden] = 50.0, -1
    assert metrics.fit_temperature(logits, targets) == pytest.approx(
        metrics.fit_temperature(logits[~hidden][:, None], targets[~hidden][:, None])
    )


def test_where_the_loss_has_no_minimum_the_search_ends_at_its_bounds():
    logits = np.array([[4.0, -3.0], [-2.0, 5.0]], np.float32)
    right = (logits > 0).astype(np.int8)
    assert metrics.fit_temperature(logits, right) == temperature.LEAST
    assert metrics.fit_temperature(logits, 1 - right) == temperature.MOST
    assert metrics.fit_temperature(logits, np.full((2, 2), -1)) == 1.0
    assert metrics.fit_temperature(0 * logits, right) == 1.0


def test_huge_logits_raise_no_warning():
    logits = np.array([[3e38, -3e38, 1.0]], np.float32)
    with np.errstate(all="raise", under="ignore"):
        assert np.isfinite(metrics.fit_temperature(logits, np.array([[1, 1, 1]], np.int8)))
    assert metrics.at_temperature(logits, 2.0).dtype == np.float32
