"""Where an artifact's labels and probabilities are not the reference's: which labels, and which images most."""

from collections.abc import Sequence

import numpy as np

from ..metrics.proportion import share_interval
from .outputs import Outputs
from .report import ChangedImage, LabelFlips

MOST_IMAGES = 24
NOTED = 0.01  # of a probability: less is no change that anyone would look at


def label_flips(reference: Outputs, one: Outputs, targets: np.ndarray, confidence: float) -> LabelFlips:
    """How many labels are others, and how many of those are now right or wrong, for targets int8 (N, C)."""
    before, after = reference.labels, one.labels
    flipped = before != after
    images = int(flipped.any(axis=1).sum())
    right = after == (targets == 1)
    known = targets >= 0
    return LabelFlips(
        same=share_interval(len(targets) - images, len(targets), confidence),
        images=images,
        gained=int((after & ~before).sum()),
        lost=int((before & ~after).sum()),
        mended=int((flipped & known & right).sum()),
        broken=int((flipped & known & ~right).sum()),
    )


def changed_images(
    reference: Outputs, one: Outputs, ids: Sequence[str], classes: Sequence[str], most: int = MOST_IMAGES
) -> tuple[ChangedImage, ...]:
    """The images that changed most: those with most other labels, and of equals the largest change of a probability.

    Args:
        reference: N images.
        one: the same images.
        ids: N.
        classes: C names.
        most: how many; images that hardly changed are none of them.
    """
    before, after = reference.labels, one.labels
    difference = np.abs(one.probabilities - reference.probabilities)
    flipped = before != after
    flips, largest = flipped.sum(axis=1), difference.max(axis=1)
    shown = np.where(flipped.any(axis=1, keepdims=True) & ~flipped, -1.0, difference)  # the label that is another
    order = np.lexsort((-largest, -flips))[:most]
    return tuple(
        ChangedImage(
            id=ids[n],
            gained=_named(classes, after[n] & ~before[n]),
            lost=_named(classes, before[n] & ~after[n]),
            name=classes[c],
            before=float(reference.probabilities[n, c]),
            after=float(one.probabilities[n, c]),
        )
        for n in order
        for c in [int(shown[n].argmax())]
        if flips[n] or largest[n] >= NOTED
    )


def _named(classes: Sequence[str], chosen: np.ndarray) -> tuple[str, ...]:
    return tuple(classes[int(c)] for c in np.flatnonzero(chosen))
