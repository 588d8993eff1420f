import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedistill.distill import metrics
from edgedistill.distill.metrics import retrieval


def by_loops(features, k, gallery=None):
    """Neighbours by squared distance, then by index, one pair at a time."""
    searched = features if gallery is None else gallery
    found = []
    for n, query in enumerate(features.tolist()):
        ranked = [
            (sum((a - b) ** 2 for a, b in zip(query, other, strict=True)), m)
            for m, other in enumerate(searched.tolist())
            if gallery is not None or m != n
        ]
        found.append([m for _, m in sorted(ranked)[:k]])
    return np.array(found)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    queries=st.integers(2, 12),
    others=st.integers(1, 12),
    width=st.integers(1, 4),
    k=st.integers(1, 5),
    levels=st.sampled_from([1, 2, 1000]),
)
def test_neighbours_are_those_of_the_loops_ties_included(seed, queries, others, width, k, levels):
    rng = np.random.default_rng(seed)
    features = rng.integers(0, levels, (queries, width)).astype(np.float32)
    gallery = rng.integers(0, levels, (others, width)).astype(np.float32)
    near, far = min(k, queries - 1), min(k, others)
    np.testing.assert_array_equal(metrics.nearest_images(features, near), by_loops(features, near))
    np.testing.assert_array_equal(metrics.nearest_images(features, far, gallery), by_loops(features, far, gallery))


def test_blocks_change_nothing(monkeypatch):
    features = np.random.default_rng(0).integers(0, 3, (40, 5)).astype(np.float32)
    whole = metrics.nearest_images(features, 6)
    np.testing.assert_array_equal(whole, by_loops(features, 6))
    monkeypatch.setattr(retrieval, "_QUERIES", 7)
    monkeypatch.setattr(retrieval, "_GALLERY", 4)  # fewer than k, and never aligned with the queries
    np.testing.assert_array_equal(metrics.nearest_images(features, 6), whole)
    gallery = features[:9]
    np.testing.assert_array_equal(metrics.nearest_images(features, 2, gallery), by_loops(features, 2, gallery))


def test_among_many_images_the_nearest_are_found():
    features = np.random.default_rng(1).integers(0, 1000, (700, 3)).astype(float)
    squared = ((features[:, None] - features) ** 2).sum(axis=2)
    np.fill_diagonal(squared, np.inf)
    expected = np.argsort(squared, axis=1, kind="stable")[:, :300]
    np.testing.assert_array_equal(metrics.nearest_images(features, 300), expected)


def test_close_neighbours_far_from_the_origin_are_told_apart():
    features = 1e4 + np.array([[0.0], [0.3], [0.1], [-0.15]])
    assert metrics.nearest_images(features, 3)[0].tolist() == [2, 3, 1]


def test_precision_counts_images_that_share_a_label():
    targets = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0], [-1, 0, 1]], np.int8)
    found = np.array([[1, 2], [0, 2], [3, 1], [0, 1], [0, 3]])
    got = metrics.retrieval_precision(found, targets)
    # At 1: image 0 finds 1, image 1 finds 0, image 2 finds an unlabelled one, image 4 shares nothing known.
    np.testing.assert_allclose(got.precision, [2 / 4, (1 + 2 + 1 + 0) / 8])
    assert (got.queries, got.without_labels) == (4, 1)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), images=st.integers(1, 10), k=st.integers(1, 4), block=st.sampled_from([2, 512]))
def test_precision_is_that_of_the_loops(seed, images, k, block):
    rng = np.random.default_rng(seed)
    targets, gallery = (rng.integers(-1, 2, (count, 3)).astype(np.int8) for count in (images, 6))
    found = rng.integers(0, 6, (images, k))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrieval, "_QUERIES", block)
        got = metrics.retrieval_precision(found, targets, gallery)
    asked = [n for n in range(images) if (targets[n] == 1).any()]
    assert (got.queries, got.without_labels) == (len(asked), images - len(asked))
    for j in range(k):
        shares = [
            sum(any(a == b == 1 for a, b in zip(targets[n], gallery[m], strict=True)) for m in found[n, : j + 1])
            for n in asked
        ]
        expected = sum(shares) / (len(asked) * (j + 1)) if asked else float("nan")
        assert got.precision[j] == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("features", "k", "gallery", "message"),
    [
        (np.zeros((3, 2)), 3, None, "from 1 to the 2 images"),
        (np.zeros((3, 2)), 4, np.zeros((3, 2)), "from 1 to the 3 images"),
        (np.zeros((3, 2)), 0, None, "not 0"),
        (np.zeros((3, 2)), 1, np.zeros((3, 4)), r"\(N, F\) and \(M, F\)"),
        (np.zeros(3), 1, None, r"\(N, F\)"),
        (np.array([[0.0], [np.inf]]), 1, None, "not finite"),
    ],
)
def test_what_cannot_be_searched(features, k, gallery, message):
    with pytest.raises(ValueError, match=message):
        metrics.nearest_images(features, k, gallery)
