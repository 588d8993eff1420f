"""Label partitions: the class subsets whose sub-tasks CPSD's teachers learn."""

import warnings
from typing import Literal, get_args

import numpy as np

from ...runtime.errors import ConfigError, DataError

Kind = Literal["co", "dis", "random"]

_RESTARTS = 4


def partition_labels(labels: np.ndarray, k: int, kind: Kind = "co", tau: float = 3, seed: int = 0) -> list[np.ndarray]:
    """Split the classes into `k` subsets by how they occur together.

    CPSD (IJCAI 2022) Sec. 3.2: spectral clustering (normalised cut, scikit-learn) on `co_occurrence_affinity`, or on
    one minus it. As in the authors' code it is started several times, and the start with the best Calinski-Harabasz
    score is kept; the score takes a class's row of the affinity matrix as its features.

    A class without a positive has no co-occurrence to go by: it joins the smallest of the finished subsets.

    Args:
        labels: int8 (N, C), 1 present, 0 absent, -1 unknown (takes part in no count). The images' order is irrelevant.
        k: number of subsets, none of which is empty.
        kind: "co" puts classes together that occur together, "dis" those that do not. "random" is the paper's
            ablation: classes drawn into subsets whose sizes differ by one at most, labels unread.
        tau: root that smooths the long tail of co-occurrence (Eq. 1); the authors' code takes the square root.
        seed: of the starts, or of the draw; equal seeds give equal subsets.

    Returns:
        k arrays of class indices, int64 and ascending, in the order of their first classes; every class is in one.

    Raises:
        ConfigError: an impossible `k`, `kind` or `tau`.
        DataError: fewer than k classes have a positive, or how they occur together does not tell them apart.
    """
    classes = labels.shape[1]
    if kind not in get_args(Kind):
        raise ConfigError(f"partition kind {kind!r} is unknown: one of {', '.join(get_args(Kind))}.")
    if not tau > 0:
        raise ConfigError(f"tau {tau:g} is no root to take: give a positive number, the paper's is 3.")
    if not 1 <= k <= classes:
        raise ConfigError(f"{classes} classes cannot be split into {k} non-empty subsets: give k from 1 to {classes}.")
    if kind == "random":
        order = np.random.default_rng(seed).permutation(classes)
        return _ordered(np.array_split(order, k))
    seen = np.flatnonzero((labels == 1).any(axis=0))
    if len(seen) < k:
        raise DataError(f"only {len(seen)} of {classes} classes have a positive, too few for k = {k}: lower k.")
    affinity = co_occurrence_affinity(labels[:, seen], tau)
    assigned = _spectral_clusters(affinity if kind == "co" else 1.0 - affinity, k, seed)
    subsets = [subset.tolist() for subset in _ordered([seen[assigned == cluster] for cluster in range(k)])]
    for unseen in np.setdiff1d(np.arange(classes), seen):
        min(subsets, key=len).append(unseen)
    return _ordered(subsets)


def co_occurrence_affinity(labels: np.ndarray, tau: float = 3) -> np.ndarray:
    """How strongly classes occur together: CPSD (IJCAI 2022) Eq. 1, P+ = (S^(1/tau) + S^(1/tau)^T) / 2.

    S_ij = e_ij / n_i: the share of the images with class i that have class j too. Images where j is unknown count for
    neither e_ij nor the n_i beneath it. A class without a positive has a zero row and column.

    The affinity of dis-occurrence is one minus this. Eq. 1 prints the identity matrix in place of the ones, which
    would make affinities negative; the authors' code has the ones.

    Args:
        labels: int8 (N, C), 1 present, 0 absent, -1 unknown.
        tau: which root is taken.

    Returns:
        float64 (C, C), symmetric, in [0, 1].
    """
    from scipy.sparse import csr_array

    # Sparse and integer: exact, and small for a million images of ten thousand classes.
    present = csr_array((labels == 1).astype(np.int64))
    unknown = csr_array((labels < 0).astype(np.int64))
    together = (present.T @ present).toarray()
    counted = present.sum(axis=0)[:, None] - (present.T @ unknown).toarray()
    share = np.divide(together, counted, out=np.zeros(together.shape), where=counted > 0)
    smooth = share ** (1.0 / tau)
    return (smooth + smooth.T) / 2


def _spectral_clusters(affinity: np.ndarray, k: int, seed: int) -> np.ndarray:
    """The cluster of every class, int (C,), with all of 0..k-1 in use."""
    from sklearn.cluster import SpectralClustering
    from sklearn.metrics import calinski_harabasz_score
    from threadpoolctl import threadpool_limits

    if k in (1, len(affinity)):
        return np.arange(len(affinity)) % k
    pairs = affinity[~np.eye(len(affinity), dtype=bool)]
    if np.ptp(pairs) < 1e-9:
        raise DataError("all pairs of classes occur together equally often or never: use kind 'random', or k = 1.")
    best, best_score, most = None, -np.inf, 0
    for start in np.random.SeedSequence(seed).generate_state(_RESTARTS):
        clustering = SpectralClustering(k, affinity="precomputed", n_init=20, random_state=int(start))
        # So small a problem gains nothing from threads, and their number must not decide the last bits.
        with threadpool_limits(1), warnings.catch_warnings():
            # A class that occurs with no other is legitimate, though no graph with one is connected.
            warnings.simplefilter("ignore")
            assigned = clustering.fit_predict(affinity)
        found = len(np.unique(assigned))
        most = max(most, found)
        score = calinski_harabasz_score(affinity, assigned) if found == k else -np.inf
        if score > best_score:
            best, best_score = assigned, score
    if best is None:
        raise DataError(f"clustering found {most} groups of classes instead of {k}: lower k.")
    return best


def _ordered(subsets: list) -> list[np.ndarray]:
    arrays = [np.sort(np.asarray(subset, dtype=np.int64)) for subset in subsets]
    return sorted(arrays, key=lambda subset: int(subset[0]))
