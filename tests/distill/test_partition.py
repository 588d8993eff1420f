"""Label partitions: planted structure, the affinity's definition, and that they are partitions at all."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgedistill.distill.data.partition import co_occurrence_affinity, partition_labels
from edgedistill.runtime.errors import ConfigError, DataError

GROUPS = [[0, 3, 7, 10], [1, 4, 5], [2, 6, 8, 9, 11]]


def as_lists(subsets: list[np.ndarray]) -> list[list[int]]:
    return [subset.tolist() for subset in subsets]


def together(count: int = 400, noise: float = 0.03, seed: int = 0) -> np.ndarray:
    """Each image shows most classes of one group, and rarely one of another."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((count, 12)) < noise).astype(np.int8)
    for image, group in enumerate(rng.integers(0, 3, count)):
        labels[image, GROUPS[group]] |= (rng.random(len(GROUPS[group])) < 0.7).astype(np.int8)
    return labels


def apart(count: int = 400, seed: int = 0) -> np.ndarray:
    """Each image shows exactly one class of every group, so that no two of a group occur together."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((count, 12), np.int8)
    for group in GROUPS:
        labels[np.arange(count), rng.choice(group, count)] = 1
    return labels


def random_labels(seed: int, count: int, classes: int, low: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    labels = (rng.random((count, classes)) < 0.4).astype(np.int8)
    labels[rng.random(labels.shape) < 0.2] = low
    return labels


@pytest.mark.parametrize("seed", range(5))
def test_co_finds_what_occurs_together(seed):
    assert as_lists(partition_labels(together(seed=seed), 3, "co", seed=seed)) == GROUPS


@pytest.mark.parametrize("seed", range(5))
def test_dis_puts_together_what_never_occurs_together(seed):
    assert as_lists(partition_labels(apart(seed=seed), 3, "dis", seed=seed)) == GROUPS


def test_each_kind_tears_apart_what_the_other_joins():
    for subset in partition_labels(apart(), 3, "co"):
        assert subset.tolist() not in GROUPS
    for subset in partition_labels(together(), 3, "dis"):
        assert subset.tolist() not in GROUPS


def test_disconnected_groups_are_found():
    assert as_lists(partition_labels(together(noise=0.0), 3, "co")) == GROUPS


@pytest.mark.parametrize("tau", [1, 2, 3.5])
@pytest.mark.parametrize("low", [0, -1])
def test_affinity_is_equation_1(tau, low):
    labels = random_labels(3, 30, 5, low)
    labels[:, 4] = np.minimum(labels[:, 4], 0)  # a class without a positive
    expected = np.zeros((5, 5))
    for i in range(5):
        for j in range(5):
            share = {}
            for first, second in ((i, j), (j, i)):
                counted = [row for row in labels if row[first] == 1 and row[second] >= 0]
                both = sum(row[second] == 1 for row in counted)
                share[first, second] = both / len(counted) if counted else 0.0
            expected[i, j] = (share[i, j] ** (1 / tau) + share[j, i] ** (1 / tau)) / 2
    np.testing.assert_allclose(co_occurrence_affinity(labels, tau), expected, rtol=1e-12)


def test_affinity_of_known_counts():
    labels = np.array([[1, 1], [1, 1], [1, 0], [1, 0], [1, 0], [1, 0], [1, 0], [1, 0]], np.int8)
    off = ((2 / 8) ** (1 / 3) + 1.0) / 2
    np.testing.assert_allclose(co_occurrence_affinity(labels), [[1, off], [off, 1]])


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 40),
    classes=st.integers(1, 9),
    low=st.sampled_from([0, -1]),
    k=st.integers(1, 5),
    kind=st.sampled_from(["co", "dis", "random"]),
)
@settings(max_examples=60, deadline=None)
def test_every_class_is_in_exactly_one_of_k_subsets(seed, count, classes, low, k, kind):
    assume(k <= classes)
    labels = random_labels(seed, count, classes, low)
    try:
        subsets = partition_labels(labels, k, kind, seed=seed)
    except DataError:
        assert kind != "random"
        seen = (labels == 1).any(axis=0)
        affinity = co_occurrence_affinity(labels[:, seen])
        assert seen.sum() < k or np.ptp(affinity[np.triu_indices_from(affinity, 1)]) < 1e-9
        return
    assert len(subsets) == k
    assert sorted(np.concatenate(subsets)) == list(range(classes))
    assert all(len(subset) and subset.dtype == np.int64 and (np.diff(subset) > 0).all() for subset in subsets)
    firsts = [int(subset[0]) for subset in subsets]
    assert firsts == sorted(firsts)
    again = partition_labels(labels[np.random.default_rng(seed).permutation(count)], k, kind, seed=seed)
    assert as_lists(again) == as_lists(subsets)


@pytest.mark.parametrize("kind", ["co", "dis"])
def test_images_of_unknown_labels_only_change_nothing(kind):
    labels = together()
    padded = np.concatenate([labels, np.full((50, 12), -1, np.int8)])
    assert as_lists(partition_labels(padded, 3, kind)) == as_lists(partition_labels(labels, 3, kind))


def test_random_is_even_and_depends_on_the_seed_alone():
    labels = together()
    drawn = as_lists(partition_labels(labels, 5, "random", seed=1))
    assert sorted(map(len, drawn)) == [2, 2, 2, 3, 3]
    assert drawn == as_lists(partition_labels(np.zeros_like(labels), 5, "random", seed=1))
    assert drawn != as_lists(partition_labels(labels, 5, "random", seed=2))


def test_one_subset_holds_all_and_as_many_as_classes_hold_one_each():
    assert as_lists(partition_labels(together(), 1)) == [list(range(12))]
    assert as_lists(partition_labels(together(), 12, "dis")) == [[c] for c in range(12)]


@pytest.mark.parametrize(("kind", "make"), [("co", together), ("dis", apart)])
def test_classes_without_positives_join_the_smallest_subsets_one_by_one(kind, make):
    labels = np.insert(make(), [0, 5, 12], 0, axis=1)  # columns 0, 6 and 14 of the result
    labels[:20, 6] = -1
    moved = [[c + 1 + (c >= 5) for c in group] for group in GROUPS]
    moved[1] += [0]  # of 3 classes, then 4
    moved[0] += [6]
    moved[1] += [14]
    assert as_lists(partition_labels(labels, 3, kind)) == sorted(map(sorted, moved))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "into 0 non-empty subsets: give k from 1 to 12"),
        ({"k": 13}, "12 classes cannot be split into 13"),
        ({"k": 3, "kind": "both"}, "'both' is unknown: one of co, dis, random"),
        ({"k": 3, "tau": 0}, "tau 0 is no root"),
        ({"k": 3, "tau": float("nan")}, "tau nan is no root"),
    ],
)
def test_impossible_options_are_named(arguments, message):
    with pytest.raises(ConfigError, match=message):
        partition_labels(together(), **arguments)


@pytest.mark.parametrize("kind", ["co", "dis"])
def test_data_that_cannot_be_partitioned_is_named(kind):
    few = together()
    few[:, 2:] = 0
    with pytest.raises(DataError, match="only 2 of 12 classes have a positive, too few for k = 3"):
        partition_labels(few, 3, kind)
    with pytest.raises(DataError, match="only 0 of 12"):
        partition_labels(np.full((4, 12), -1, np.int8), 1, kind)
    for one_of_a_kind in (np.eye(6, dtype=np.int8), np.ones((4, 6), np.int8)):
        with pytest.raises(DataError, match="equally often or never: use kind 'random'"):
            partition_labels(one_of_a_kind, 3, kind)


def test_an_empty_cluster_is_refused(monkeypatch):
    monkeypatch.setattr("sklearn.cluster.SpectralClustering.fit_predict", lambda self, x: np.arange(len(x)) % 2)
    with pytest.raises(DataError, match="found 2 groups of classes instead of 3"):
        partition_labels(together(), 3)


def test_the_best_of_several_starts_is_kept(monkeypatch):
    rows = np.arange(12)
    grouped = np.array([next(i for i, group in enumerate(GROUPS) if c in group) for c in rows])
    starts = iter([rows % 3, grouped, (rows + 1) % 3, rows // 4])
    monkeypatch.setattr("sklearn.cluster.SpectralClustering.fit_predict", lambda self, x: next(starts))
    assert as_lists(partition_labels(together(), 3)) == GROUPS
