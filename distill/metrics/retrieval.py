"""Image retrieval by nearest neighbours among learned features (L2D, ICCV 2023, Sec. 4.3)."""

from typing import NamedTuple

import numpy as np

_QUERIES, _GALLERY = 512, 8192  # one block of distances: 32 MB
_NOT_ITSELF = np.uint64(2**64 - 1)


class RetrievalPrecision(NamedTuple):
    """How often what is found has a label in common with the query.

    Attributes:
        precision: float64 (K,), precision at 1, ..., K: of the first k images the share with such a label, averaged
            over the queries; NaN without a query.
        queries: how many queries were asked.
        without_labels: how many images have no label, so that nothing could be relevant to them: they are no query.
    """

    precision: np.ndarray
    queries: int
    without_labels: int


def nearest_images(features: np.ndarray, k: int, gallery: np.ndarray | None = None) -> np.ndarray:
    """The k nearest images of each image by Euclidean distance, as in L2D's Figure 4.

    For the cosine distance pass features of unit length. Time grows with N x M x F; working memory does not: the
    distances are computed in float64 and in blocks.

    Args:
        features: (N, F), the queries.
        k: how many.
        gallery: (M, F), what is searched; `features` itself when None, where no image finds itself.

    Returns:
        int64 (N, k), indices into the gallery, the nearest first; of equally distant ones (to float32) the lower index.

    Raises:
        ValueError: the shapes do not fit, a feature is not finite, or there are fewer than k images to find.
    """
    features = np.asarray(features)
    searched = features if gallery is None else np.asarray(gallery)
    if features.ndim != 2 or searched.ndim != 2 or features.shape[1] != searched.shape[1]:
        raise ValueError(f"features {features.shape} and gallery {searched.shape} must be (N, F) and (M, F)")
    others = len(searched) - (gallery is None)
    if not 1 <= k <= others:
        raise ValueError(f"k must be from 1 to the {others} images that can be found, not {k}")
    if not (np.isfinite(features).all() and np.isfinite(searched).all()):
        raise ValueError("some features are not finite")
    found = np.empty((len(features), k), np.int64)
    for start in range(0, len(features), _QUERIES):
        rows = slice(start, start + _QUERIES)
        found[rows] = _nearest(features[rows].astype(np.float64), searched, k, start if gallery is None else None)
    return found


def retrieval_precision(
    found: np.ndarray, targets: np.ndarray, gallery_targets: np.ndarray | None = None
) -> RetrievalPrecision:
    """Precision at 1..K of retrieved images: one is relevant when it shares a present label with the query.

    L2D shows pictures with the shared labels coloured and gives no number; this is the number of those pictures.

    Args:
        found: (N, K) from `nearest_images`.
        targets: (N, C) of the queries; 1, 0 or -1 (shared by none).
        gallery_targets: (M, C) of the images that were searched; `targets` when None.
    """
    queries = np.asarray(targets) == 1
    searched = queries if gallery_targets is None else np.asarray(gallery_targets) == 1
    asked = np.flatnonzero(queries.any(axis=1))
    hits = np.zeros(found.shape[1])
    for start in range(0, len(asked), _QUERIES):
        rows = asked[start : start + _QUERIES]
        relevant = (searched[found[rows]] & queries[rows, None]).any(axis=2)
        hits += relevant.sum(axis=0)
    shown = np.arange(1, len(hits) + 1) * (len(asked) or np.nan)
    return RetrievalPrecision(np.cumsum(hits) / shown, len(asked), len(queries) - len(asked))


def _nearest(queries: np.ndarray, gallery: np.ndarray, k: int, first: int | None) -> np.ndarray:
    """int64 (B, k) for a block of queries; `first` is the gallery index of the first one, if they are in it.

    A distance and its index make one integer that sorts by both, so that the k smallest of all blocks are found by
    partitions and ties are decided by the index.
    """
    norms = (queries**2).sum(axis=1, keepdims=True)
    best = np.empty((len(queries), 0), np.uint64)
    for start in range(0, len(gallery), _GALLERY):
        block = gallery[start : start + _GALLERY].astype(np.float64)
        squared = np.maximum(norms + (block**2).sum(axis=1) - 2 * (queries @ block.T), 0.0)
        keys = squared.astype(np.float32).view(np.uint32).astype(np.uint64) << np.uint64(32)  # floats >= 0 sort so
        keys |= np.arange(start, start + len(block), dtype=np.uint64)
        if first is not None:
            rows = np.arange(max(first, start), min(first + len(queries), start + len(block)))
            keys[rows - first, rows - start] = _NOT_ITSELF
        best = np.concatenate([best, keys], axis=1)
        if best.shape[1] > k:
            best = np.partition(best, k - 1, axis=1)[:, :k]
    best.sort(axis=1)
    return (best & np.uint64(2**32 - 1)).astype(np.int64)
