"""What a model says about pairs of labels: MDKD's dependencies, and L2D's correlations of teacher and student."""

import numpy as np

_BLOCK_ELEMENTS = 2_000_000
_CONSTANT = 1e-12  # variance over mean square below which rounding is all that varies


def label_pair_dependency(values: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """Second-order label pair dependency: the mean over images of (p_k - p_l)^2; the lower, the more alike.

    Over one image it is MDKD's instance-level Phi_2 (MM 2024, Eq. 10, shown in its Figures 5 and 8), over several the
    batch-level Psi_2 as "mean square difference" (the text of Eq. 4; its print sums before it squares).

    Args:
        values: (N, C) probabilities, of teacher or student; or the ground truth's 0 and 1.
        known: bool (N, C), the entries that count (targets >= 0); all of them when None.

    Returns:
        float64 (C, C), symmetric with a zero diagonal; NaN for labels that are known together in no image.

    Raises:
        ValueError: the shapes do not fit.
    """
    count, _, squares, products = _moments(*_masked(values, known))
    with np.errstate(invalid="ignore"):
        return np.maximum(squares + squares.T - 2 * products, 0.0) / np.where(count > 0, count, np.nan)


def label_sequence_dependency(pairs: np.ndarray, sequences: np.ndarray) -> np.ndarray:
    """n-th order dependency of label sequences: the mean of the pairs along each (MDKD Eqs. 7 and 12, Tables 7 and 8).

    Args:
        pairs: (C, C) from `label_pair_dependency`.
        sequences: integers (S, n), n >= 2: L_1, ..., L_n.

    Returns:
        float64 (S,).

    Raises:
        ValueError: a sequence has fewer than two labels.
    """
    sequences = np.atleast_2d(sequences)
    if sequences.shape[1] < 2:
        raise ValueError("a label sequence needs at least two labels")
    return np.asarray(pairs)[sequences[:, :-1], sequences[:, 1:]].mean(axis=1)


def label_correlation(values: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """Pearson's correlation of every two labels over the images (what L2D's Figure 5 compares).

    Args:
        values: (N, C) probabilities; or the ground truth's 0 and 1.
        known: bool (N, C), the entries that count (targets >= 0); all of them when None. A pair counts the images in
            which both are known.

    Returns:
        float64 (C, C), symmetric; NaN where a label does not vary.

    Raises:
        ValueError: the shapes do not fit.
    """
    values, known = _masked(values, known)
    seen = known.sum(axis=0)
    mean = np.divide(values.sum(axis=0, where=known, dtype=np.float64), seen, out=np.zeros(len(seen)), where=seen > 0)
    count, sums, squares, products = _moments(values - mean, known)  # centred: small differences survive the squares
    variance = count * squares - sums**2
    variance[variance <= _CONSTANT * count * squares] = np.nan
    found = (count * products - sums * sums.T) / np.sqrt(variance * variance.T)
    return np.clip(found, -1.0, 1.0)


def correlation_difference(student: np.ndarray, teacher: np.ndarray) -> np.ndarray:
    """Label correlations of the student minus those of the teacher (L2D, ICCV 2023, Sec. 4.4 and Figure 5).

    Args:
        student: (N, C) probabilities.
        teacher: (N, C) probabilities for the same images and classes.

    Returns:
        float64 (C, C), symmetric; 0 is a perfect match; NaN where a label does not vary in one of them.

    Raises:
        ValueError: the shapes differ.
    """
    if np.shape(student) != np.shape(teacher):
        raise ValueError(f"student {np.shape(student)} and teacher {np.shape(teacher)} must have one shape (N, C)")
    return label_correlation(student) - label_correlation(teacher)


def most_different_pairs(difference: np.ndarray, most: int) -> list[tuple[int, int]]:
    """The label pairs k < l with the largest |difference|, that first; NaN entries are no pair.

    Args:
        difference: (C, C), symmetric, e.g. from `correlation_difference`.
        most: how many at most.
    """
    rows, columns = np.triu_indices(len(difference), k=1)
    size = np.abs(difference[rows, columns])
    order = np.argsort(-size, kind="stable")[: np.count_nonzero(~np.isnan(size))][:most]
    return [(int(rows[i]), int(columns[i])) for i in order]


def _masked(values: np.ndarray, known: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(values)
    known = np.ones(values.shape, bool) if known is None else np.asarray(known, bool)
    if values.ndim != 2 or known.shape != values.shape:
        raise ValueError(f"values {values.shape} and known {known.shape} must both be (N, C)")
    return values, known


def _moments(values: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Over the images where k and l are known: how many, the sums of x_k, x_k^2, x_k x_l; float64 (C, C) each."""
    images, classes = values.shape
    moments = np.zeros((4, classes, classes))
    step = max(1, _BLOCK_ELEMENTS // max(1, classes))
    for start in range(0, images, step):
        mask = known[start : start + step].astype(np.float64)
        block = np.where(mask > 0, values[start : start + step].astype(np.float64), 0.0)
        for row, (left, right) in enumerate(((mask, mask), (block, mask), (block**2, mask), (block, block))):
            moments[row] += left.T @ right
    count, sums, squares, products = moments
    return count, sums, squares, products
