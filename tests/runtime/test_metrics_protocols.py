"""The protocols of `evaluate` against loops that follow the papers' descriptions, with ties and unknown labels."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedistill.runtime import metrics


def predictions(row, truth, threshold, top_k):
    """The labels that one image gets, one decision at a time."""
    known = [c for c, value in enumerate(truth) if value >= 0]
    chosen = set(known)
    if threshold == "oracle_k":
        limit = sorted((row[c] for c in known), reverse=True)
        k = sum(truth[c] == 1 for c in known)
        chosen = {c for c in known if k == len(known) or row[c] > limit[k]}
    elif threshold is not None:
        limits = threshold if isinstance(threshold, list) else [threshold] * len(row)
        chosen = {c for c in known if row[c] >= limits[c]}
    if top_k is not None:
        highest = sorted(known, key=lambda c: (-row[c], c))[:top_k]
        chosen &= set(highest)
    return chosen


def safe(numerator, denominator):
    return numerator / denominator if denominator else 0.0


def by_loops(scores, targets, threshold, top_k):
    """CP, CR, CF1, CF1_mean, OP, OR, OF1 in points."""
    hits, calls, present = ([0] * targets.shape[1] for _ in range(3))
    for row, truth in zip(scores.tolist(), targets.tolist(), strict=True):
        for c in predictions(row, truth, threshold, top_k):
            calls[c] += 1
            hits[c] += truth[c] == 1
        for c, value in enumerate(truth):
            present[c] += value == 1
    classes = [c for c in range(len(present)) if present[c]]
    if not classes:
        return None
    cp = sum(safe(hits[c], calls[c]) for c in classes) / len(classes)
    cr = sum(hits[c] / present[c] for c in classes) / len(classes)
    op, overall = safe(sum(hits), sum(calls)), safe(sum(hits), sum(present))
    found = {
        "CP": cp,
        "CR": cr,
        "CF1": safe(2 * cp * cr, cp + cr),
        "CF1_mean": sum(2 * hits[c] / (calls[c] + present[c]) for c in classes) / len(classes),
        "OP": op,
        "OR": overall,
        "OF1": safe(2 * op * overall, op + overall),
    }
    return {name: 100 * value for name, value in found.items()}


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    images=st.integers(1, 12),
    classes=st.integers(1, 6),
    levels=st.sampled_from([1, 2, 4, 1000]),
    unknown=st.sampled_from([0.0, 0.3]),
    threshold=st.sampled_from([0.5, "oracle_k", "per class", None]),
    top_k=st.sampled_from([None, 1, 3]),
)
def test_every_protocol_is_what_its_description_says(seed, images, classes, levels, unknown, threshold, top_k):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels + 1, (images, classes)) / levels
    targets = (rng.random((images, classes)) < 0.4).astype(np.int8)
    targets[rng.random((images, classes)) < unknown] = -1
    if threshold == "per class":
        threshold = np.round(rng.random(classes), 1)
    if threshold is None and top_k is None:
        top_k = 3
    plain = threshold.tolist() if isinstance(threshold, np.ndarray) else threshold
    expected = by_loops(scores, targets, plain, top_k)
    found = metrics.evaluate(scores, targets, threshold, top_k)
    if expected is None:
        assert math.isnan(found["mAP"])
        return
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-9), name


def test_tied_scores_at_the_limit():
    scores, targets = np.array([[0.7, 0.7, 0.7, 0.2]]), np.array([[1, 1, 0, 0]], np.int8)
    assert metrics.evaluate(scores, targets, "oracle_k")["OR"] == 0.0  # none exceeds the third highest
    assert metrics.evaluate(scores, targets, 0.7)["OR"] == 100.0  # a score at the threshold counts
    assert metrics.evaluate(scores, targets, None, top_k=2)["OP"] == 100.0  # of equals the class that stands first
