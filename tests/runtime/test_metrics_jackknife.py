import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedistill.runtime.metrics import average_precision, leave_one_out


def problem(seed, images, levels, unknown=0.1):
    random = np.random.default_rng(seed)
    scores = (random.integers(0, levels, (images, 3)) / levels).astype(np.float32)
    targets = (random.random((images, 3)) < 0.3).astype(np.int8)
    targets[random.random((images, 3)) < unknown] = -1
    return scores, targets


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10_000), images=st.integers(1, 25), levels=st.sampled_from([1, 2, 5, 1000]))
def test_it_is_the_ap_of_the_other_images(seed, images, levels):
    scores, targets = problem(seed, images, levels)
    found = leave_one_out(scores, targets)
    np.testing.assert_allclose(found.ap, average_precision(scores, targets), atol=1e-12)
    np.testing.assert_array_equal(found.positives, (targets == 1).sum(axis=0))
    for n in range(images):
        others = average_precision(np.delete(scores, n, 0), np.delete(targets, n, 0))
        only_positive = np.isnan(others)  # it keeps the AP that it has
        np.testing.assert_allclose(found.without[n], np.where(only_positive, found.ap, others), atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), images=st.integers(1, 25), levels=st.sampled_from([1, 3, 1000]))
def test_a_swap_is_what_one_more_negative_above_a_positive_costs(seed, images, levels):
    scores, targets = problem(seed, images, levels)
    found = leave_one_out(scores, targets)
    for c in range(3):
        known = targets[:, c] >= 0
        column, truth = scores[known, c].astype(float), targets[known, c]
        losses = []
        for score in column[truth == 1]:
            hits, seen = ((column >= score) & (truth == 1)).sum(), (column >= score).sum()
            losses.append((hits / seen - hits / (seen + 1)) / (truth == 1).sum())
        np.testing.assert_allclose(found.swap[c], np.mean(losses) if losses else np.nan, atol=1e-12)


def test_by_hand():
    # ranked: + - +; AP = (1 + 2/3) / 2. Without the first: 1/2; without the negative: 1; without the last: 1.
    found = leave_one_out(np.array([[0.9], [0.5], [0.1]]), np.array([[1], [0], [1]], np.int8))
    np.testing.assert_allclose(found.ap, [5 / 6])
    np.testing.assert_allclose(found.without[:, 0], [0.5, 1.0, 1.0])
    np.testing.assert_allclose(found.swap, [((1 - 1 / 2) / 2 + (2 / 3 - 2 / 4) / 2) / 2])


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint64, bool, np.float16])
def test_scores_of_any_dtype_rank_as_their_numbers(dtype):
    scores = np.array([[0], [1], [2], [100]]).astype(dtype)
    targets = np.array([[0], [0], [0], [1]], np.int8)
    found, expected = leave_one_out(scores, targets), leave_one_out(scores.astype(float), targets)
    np.testing.assert_array_equal(found.ap, expected.ap)
    np.testing.assert_array_equal(found.without, expected.without)


def test_no_image_and_no_positive():
    assert leave_one_out(np.zeros((0, 2)), np.zeros((0, 2), np.int8)).without.shape == (0, 2)
    found = leave_one_out(np.zeros((4, 2)), np.zeros((4, 2), np.int8))
    assert np.isnan(found.ap).all()
    assert np.isnan(found.without).all()


def test_nan_scores_are_refused():
    with pytest.raises(ValueError, match="1 of 2 images have NaN scores"):
        leave_one_out(np.array([[np.nan], [1.0]]), np.array([[0], [1]], np.int8))
