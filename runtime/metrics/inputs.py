"""What every metric checks about its arguments, and the order of scores of any dtype."""

from typing import Any

import numpy as np


def checked(scores: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays that one may negate and compare, whatever dtype and memory layout they came in.

    Args:
        scores: (N, C), floats, integers or booleans.
        targets: (N, C); 1, 0 or -1, of any dtype.

    Returns:
        scores, (N, C) in the narrowest floating dtype that holds them exactly (64-bit integers, which none holds, stay
        as they are: see `order_keys`); targets, int8 (N, C).

    Raises:
        ValueError: a shape is not (N, C), the shapes differ, the scores are no numbers or hold NaN, or a target is
            not 1, 0 or -1.
    """
    scores, targets = np.asarray(scores), np.asarray(targets)
    if scores.ndim != 2 or scores.shape != targets.shape:
        raise ValueError(f"scores {scores.shape} and targets {targets.shape} must both be (N, C)")
    if scores.dtype.kind not in "fiub":
        raise ValueError(f"scores must be real numbers, not {scores.dtype}")
    if np.isnan(scores).any():
        raise ValueError(f"{int(np.isnan(scores).any(axis=1).sum())} of {len(scores)} images have NaN scores")
    if not _is_wide_integer(scores):
        scores = scores.astype(np.promote_types(scores.dtype, np.float32), copy=False)
    known_values = (targets == 1) | (targets == 0) | (targets == -1)
    if not np.all(known_values):
        raise ValueError(f"targets must be 1, 0 or -1, not {targets[~known_values][0]}")
    return scores, targets.astype(np.int8, copy=False)


def order_keys(scores: np.ndarray) -> np.ndarray:
    """Floats (N, C) in the same order as the checked `scores`, ties included.

    They are the scores themselves, except for 64-bit integers, of which float64 would round the large ones to ties:
    there they are the places among the distinct scores.
    """
    if not _is_wide_integer(scores):
        return scores
    return np.searchsorted(np.unique(scores), scores).astype(np.float64)


def ratio(numerator: Any, denominator: Any) -> np.ndarray:
    """Elementwise quotient, 0 where the denominator is 0 (nothing was predicted)."""
    numerator, denominator = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    shape = np.broadcast_shapes(numerator.shape, denominator.shape)
    return np.divide(numerator, denominator, out=np.zeros(shape), where=denominator != 0)


def _is_wide_integer(scores: np.ndarray) -> bool:
    return scores.dtype.kind in "iu" and scores.dtype.itemsize == 8
