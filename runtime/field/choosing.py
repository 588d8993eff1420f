"""Which photographs are worth a person's time: those with labels in doubt or in dispute, and no two alike."""

from collections.abc import Sequence

import numpy as np

from ..metrics import sigmoid
from .report import DoubtfulLabel, ImageToLabel
from .scored import Scored

RULE = (
    "A label counts by how near its logit is to the threshold (1 at it, nothing from two logits away on) and, with a "
    "reference, by how far the two probabilities, each held against its own threshold, are apart. The image with the "
    "largest sum comes first; each next one has the largest product of its sum and its distance from the nearest image "
    "that is chosen already."
)
_DOUBT_ENDS = 2.0  # logits from the threshold
_CANDIDATES = 10  # for each image that is chosen
_NAMED = 3
_CERTAIN = 1e-6


def choose_to_label(
    scored: Scored, reference: Scored | None, ids: Sequence[str], classes: Sequence[str], most: int
) -> tuple[ImageToLabel, ...]:
    """At most `most` of N images by `RULE`; fewer where no more have a label in doubt.

    Args:
        scored: the artifact on them.
        reference: on the same; None without one. Where its probabilities are NaN it says nothing of an image.
        ids: N names.
        classes: C names.
        most: how many.
    """
    margin = _above_threshold(scored)
    worth = np.maximum(0.0, 1.0 - np.abs(margin) / _DOUBT_ENDS)
    if reference is not None:
        worth += np.nan_to_num(np.abs(sigmoid(margin) - sigmoid(_above_threshold(reference))))
    value = worth.sum(axis=1)
    places = np.argsort(-value, kind="stable")[: _CANDIDATES * most]
    places = places[value[places] > 0]
    where = sigmoid(margin) if scored.projections is None else scored.projections
    chosen = _spread(value[places], where[places].astype(np.float64), most)
    return tuple(
        ImageToLabel(
            id=ids[n],
            value=float(value[n]),
            labels=tuple(classes[int(c)] for c in np.flatnonzero(scored.labels[n])),
            doubtful=tuple(_doubtful(scored, reference, n, c, classes[c]) for c in _foremost(worth[n])),
        )
        for n in map(int, places[chosen])
    )


def _spread(value: np.ndarray, where: np.ndarray, most: int) -> list[int]:
    """Greedily the places with the largest value x distance from the nearest that is chosen already."""
    if not len(value):
        return []
    chosen, distance = [int(value.argmax())], np.full(len(value), np.inf)
    while len(chosen) < min(most, len(value)):
        distance = np.minimum(distance, np.linalg.norm(where - where[chosen[-1]], axis=1))
        gain = value * distance
        gain[chosen] = -1.0
        chosen.append(int(gain.argmax()))
    return chosen


def _above_threshold(scored: Scored) -> np.ndarray:
    """How far each probability is above its threshold, in logits: float64 (N, C)."""
    return _logit(scored.probabilities) - _logit(scored.thresholds)


def _logit(probabilities: np.ndarray) -> np.ndarray:
    clipped = np.clip(probabilities.astype(np.float64), _CERTAIN, 1.0 - _CERTAIN)
    return np.log(clipped) - np.log1p(-clipped)


def _foremost(worth: np.ndarray) -> list[int]:
    """The classes of one image that count most."""
    return [int(c) for c in np.argsort(-worth, kind="stable")[:_NAMED] if worth[c] > 0]


def _doubtful(scored: Scored, reference: Scored | None, n: int, c: int, name: str) -> DoubtfulLabel:
    theirs = np.nan if reference is None else float(reference.probabilities[n, c])
    return DoubtfulLabel(
        name=name,
        probability=float(scored.probabilities[n, c]),
        threshold=float(scored.thresholds[c]),
        reference=None if np.isnan(theirs) else theirs,
    )
