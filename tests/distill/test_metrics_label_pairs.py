import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedistill.distill import metrics
from edgedistill.distill.metrics import label_pairs


def problem(seed, images, classes, unknown):
    rng = np.random.default_rng(seed)
    return rng.random((images, classes), np.float32), rng.random((images, classes)) >= unknown


CASES = {
    "seed": st.integers(0, 10_000),
    "images": st.integers(1, 12),
    "classes": st.integers(1, 6),
    "unknown": st.sampled_from([0.0, 0.4]),
}


@settings(max_examples=60, deadline=None)
@given(**CASES)
def test_dependency_is_the_mean_square_difference(seed, images, classes, unknown):
    values, known = problem(seed, images, classes, unknown)
    found = metrics.label_pair_dependency(values, known)
    for k in range(classes):
        for m in range(classes):
            both = [n for n in range(images) if known[n, k] and known[n, m]]
            gaps = [(float(values[n, k]) - float(values[n, m])) ** 2 for n in both]
            expected = sum(gaps) / len(gaps) if gaps else float("nan")
            assert found[k, m] == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_dependency_of_one_image_is_that_of_figure_5():
    values = np.array([[0.9, 0.7, 0.1]])
    expected = [[0, 0.04, 0.64], [0.04, 0, 0.36], [0.64, 0.36, 0]]
    np.testing.assert_allclose(metrics.label_pair_dependency(values), expected, atol=1e-15)


def test_dependency_of_a_sequence_is_the_mean_along_it():
    pairs = metrics.label_pair_dependency(np.array([[0.9, 0.7, 0.1]]))
    third, same_pair = metrics.label_sequence_dependency(pairs, [[0, 1, 2], [1, 0, 1]])
    assert third == pytest.approx((0.04 + 0.36) / 2)
    assert same_pair == pytest.approx(0.04)
    assert metrics.label_sequence_dependency(pairs, [0, 2]) == pytest.approx([0.64])
    with pytest.raises(ValueError, match="at least two"):
        metrics.label_sequence_dependency(pairs, [[0]])


@settings(max_examples=60, deadline=None)
@given(**CASES)
def test_correlation_is_numpys_over_the_images_that_know_both(seed, images, classes, unknown):
    values, known = problem(seed, images, classes, unknown)
    found = metrics.label_correlation(values, known)
    for k in range(classes):
        for m in range(classes):
            both = known[:, k] & known[:, m]
            expected = np.nan
            if both.sum() > 1:
                expected = np.corrcoef(values[both, k].astype(float), values[both, m].astype(float))[0, 1]
            assert found[k, m] == pytest.approx(expected, abs=1e-8, nan_ok=True)


def test_correlation_sees_small_variations():
    rng = np.random.default_rng(0)
    values = 0.5 + 1e-7 * rng.standard_normal((100, 3))
    np.testing.assert_allclose(metrics.label_correlation(values), np.corrcoef(values.T), atol=1e-6)


def test_a_constant_label_correlates_with_nothing():
    values = np.random.default_rng(0).random((100, 3))
    values[:, 1] = 0.7  # no binary fraction: its mean is off by a rounding
    with np.errstate(all="raise"):
        found = metrics.label_correlation(values)
    assert np.isnan(found[1]).all()
    assert np.isnan(found[:, 1]).all()
    assert not np.isnan(found[0, 2])


def test_blocks_of_images_change_nothing(monkeypatch):
    values, known = problem(1, 40, 4, 0.2)
    whole = metrics.label_pair_dependency(values, known), metrics.label_correlation(values, known)
    monkeypatch.setattr(label_pairs, "_BLOCK_ELEMENTS", 12)
    np.testing.assert_allclose(metrics.label_pair_dependency(values, known), whole[0], atol=1e-14)
    np.testing.assert_allclose(metrics.label_correlation(values, known), whole[1], atol=1e-12)


def test_the_difference_is_the_students_minus_the_teachers():
    teacher = np.array([[0.0, 0.0], [1.0, 1.0], [0.5, 0.5]])
    student = teacher * [1, -1] + [0, 1]
    np.testing.assert_allclose(metrics.correlation_difference(student, teacher), [[0, -2], [-2, 0]], atol=1e-12)
    np.testing.assert_allclose(metrics.correlation_difference(teacher, teacher), 0, atol=1e-15)
    with pytest.raises(ValueError, match="must have one shape"):
        metrics.correlation_difference(student, teacher[:, :1])


def test_most_different_pairs_by_size_without_those_that_say_nothing():
    difference = np.array([[0, 0.1, -0.4, np.nan], [0.1, 0, 0.2, 0], [-0.4, 0.2, 0, 0.2], [np.nan, 0, 0.2, 0]])
    assert metrics.most_different_pairs(difference, 3) == [(0, 2), (1, 2), (2, 3)]
    assert len(metrics.most_different_pairs(difference, 99)) == 5
    assert metrics.most_different_pairs(np.zeros((1, 1)), 3) == []


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"must both be \(N, C\)"):
        metrics.label_pair_dependency(np.zeros(3))
    with pytest.raises(ValueError, match=r"must both be \(N, C\)"):
        metrics.label_correlation(np.zeros((3, 2)), np.ones((3, 3), bool))
