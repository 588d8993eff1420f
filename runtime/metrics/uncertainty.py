"""Confidence intervals of the mAP and of its drop, and how many images would settle a doubt.

The interval is the jackknife's: centred on the bias-corrected value N x - (N - 1) mean(x without one image), as wide as
Student's t times the standard error that the single images' weights give. benchmarks/coverage.py is the proof and the
source of the limits below; docs/verify.md says what they mean to a user.
"""

import math
from collections.abc import Iterator

import numpy as np

from ..errors import ConfigError
from ..interval import Interval
from ..student_t import student_t_quantile
from .jackknife import LeftOut
from .leave_one_out_f1 import F1LeftOut

_METHOD = "jackknife over images"
NO_POSITIVE = "no image shows any of the classes"
LEAST_POSITIVES = 10  # of all classes together; below, an interval covers less often than it says
LEAST_PER_CLASS = 3.0  # in the harmonic mean over the classes, for a mAP
LEAST_PER_CLASS_OF_A_DROP = 2.0  # whose bias is that of two models, and mostly the same
UNSEEN_SHARE = 0.05  # a failure of so many images may not stay unseen where outputs agree


def map_interval(model: LeftOut, confidence: float = 0.95) -> Interval:
    """The mAP in points (0-100), and where the mAP on endlessly many such images may lie.

    The classes without a positive are left out of both. Few positives raise a mAP: the interval allows for that, and so
    lies lower than around the estimate, which it always includes. It also allows for images that would be ranked last
    and are by chance not among the M that show a class (3 / M of all at 95 %): a perfect ranking is no certainty.

    Args:
        model: from `leave_one_out`.
        confidence: two-sided level.

    Returns:
        No ends, and a note that says why, with fewer than `LEAST_POSITIVES` positives or, in the harmonic mean over the
        classes, fewer than `LEAST_PER_CLASS`.

    Raises:
        ConfigError: the confidence is not between 0 and 1.
    """
    checked_confidence(confidence)
    estimate = float(mean_over_classes(model.ap))
    lacking = _lacking(model, LEAST_PER_CLASS)
    if lacking:
        return _without_ends(estimate, confidence, lacking)
    low, high = _jackknife(estimate, mean_over_classes(model.without), confidence)
    finest = _finest(model, confidence)
    seen = (1.0 - confidence) ** (1.0 / model.images_with_a_class)
    return Interval(
        estimate=estimate,
        low=max(0.0, min(low, estimate - finest, estimate * seen)),
        high=min(100.0, max(high, estimate + finest)),
        confidence=confidence,
        method=_METHOD,
    )


def map_drop_interval(reference: LeftOut, model: LeftOut, confidence: float = 0.95) -> Interval:
    """The drop mAP(reference) - mAP(model) in points (0-100), paired over the images.

    It is never of zero width: where no image is seen to overtake another, at most -ln(1 - confidence) such swaps were
    to be expected (3 at 95 %), each of the size of `LeftOut.swap`. It reaches as far from the plain estimate as from
    the bias-corrected one: for the small drops that matter they are the same.

    Args:
        reference: from `leave_one_out`, on the images and labels of `model`.
        model: the one that is judged.
        confidence: two-sided level.

    Returns:
        No ends, and a note that says why, with fewer images than `least_images`, fewer than `LEAST_POSITIVES` positives
        or, in the harmonic mean over the classes, fewer than `LEAST_PER_CLASS_OF_A_DROP`.

    Raises:
        ConfigError: the confidence is not between 0 and 1.
    """
    estimate = float(mean_over_classes(reference.ap) - mean_over_classes(model.ap))
    without = mean_over_classes(reference.without) - mean_over_classes(model.without)
    return _paired(reference, estimate, without, _finest(reference, confidence), confidence)


def relative_drop_interval(reference: LeftOut, model: LeftOut, confidence: float = 0.95) -> Interval:
    """The drop in percent of the reference's mAP: that a model keeps 99 % of it is a drop of at most 1.

    As `map_drop_interval` in all else; that the reference's mAP is itself uncertain is part of the interval.

    Raises:
        ConfigError: the confidence is not between 0 and 1.
    """
    whole = float(mean_over_classes(reference.ap))
    estimate = 100.0 * (1.0 - float(mean_over_classes(model.ap)) / whole)
    without = 100.0 * (1.0 - mean_over_classes(model.without) / mean_over_classes(reference.without))
    return _paired(reference, estimate, without, 100.0 * _finest(reference, confidence) / whole, confidence)


def f1_drop_interval(images: LeftOut, reference: F1LeftOut, model: F1LeftOut, confidence: float = 0.95) -> Interval:
    """The drop of OF1 or CF1, in points, paired over the images; as careful as `map_drop_interval`.

    Args:
        images: from `leave_one_out` on the same images: says whether they suffice.
        reference: from `leave_one_out_f1`.
        model: the same of the one that is judged.
        confidence: two-sided level.

    Raises:
        ConfigError: the confidence is not between 0 and 1.
    """
    unseen = -math.log(1.0 - checked_confidence(confidence)) * reference.swap
    estimate, without = reference.value - model.value, reference.without - model.without
    return _paired(images, estimate, without, unseen, confidence)


def _paired(reference: LeftOut, estimate: float, without: np.ndarray, finest: float, confidence: float) -> Interval:
    """The interval of a difference of two models on the same images.

    Args:
        reference: which images and positives there are.
        estimate: on all images.
        without: float64 (N,), without each.
        finest: what may hide where nothing is seen to change.
        confidence: two-sided level.
    """
    least, images = least_images(confidence), reference.images
    lacking = _lacking(reference, LEAST_PER_CLASS_OF_A_DROP)
    if images < least and lacking != NO_POSITIVE:
        lacking = f"{images} image{'s' * (images != 1)}, and a comparison wants {least}: {least - images} more"
    if lacking:
        return _without_ends(estimate, confidence, lacking)
    low, high = _jackknife(estimate, without, confidence)
    half = (high - low) / 2.0
    return Interval(
        estimate=estimate,
        low=min(low, estimate - half, estimate - finest),
        high=max(high, estimate + half, estimate + finest),
        confidence=confidence,
        method=f"paired {_METHOD}",
    )


def class_drop_intervals(reference: LeftOut, model: LeftOut, confidence: float = 0.95) -> Iterator[Interval]:
    """`map_drop_interval` of every class by itself, in points; not corrected for looking at many classes."""
    for c in range(len(reference.ap)):
        yield map_drop_interval(reference.of_class(c), model.of_class(c), confidence)


def mean_over_classes(ap: np.ndarray) -> np.ndarray:
    """The mAP in points from AP fractions (..., C), over the classes that have one; NaN where none has."""
    counted = (~np.isnan(ap)).sum(axis=-1)
    total = np.nansum(ap, axis=-1)
    return 100.0 * np.divide(total, counted, out=np.full(np.shape(total), np.nan), where=counted > 0)


def least_images(confidence: float) -> int:
    """So many images that a failure of `UNSEEN_SHARE` of all images is seen with this confidence: 59 for 95 %.

    Raises:
        ConfigError: the confidence is not between 0 and 1.
    """
    return math.ceil(math.log(1.0 - checked_confidence(confidence)) / math.log(1.0 - UNSEEN_SHARE))


def images_to_settle(drop: Interval, limit: float, images: int) -> int | None:
    """About how many more images would tell whether a drop is within a limit that its interval straddles.

    The distance between the estimate and the end beyond the limit shrinks with the square root of the images; where
    nothing changed and only unseen swaps make the width (0 in its very middle), in proportion to them.

    Args:
        drop: of `images` images.
        limit: in the drop's unit.
        images: N.

    Returns:
        0 when it is settled; None when no number helps: the estimate is the limit itself, or there is no interval.
    """
    if drop.estimate is None or drop.low is None or drop.high is None or drop.estimate == limit:
        return None
    within = drop.estimate < limit
    reach = drop.high - drop.estimate if within else drop.estimate - drop.low
    ratio = reach / abs(limit - drop.estimate)
    nothing_changed = drop.estimate == 0 and drop.high == -drop.low
    return max(0, math.ceil(images * (ratio ** (1 if nothing_changed else 2) - 1.0)))


def checked_confidence(confidence: float) -> float:
    """The level itself; ConfigError where it is not between 0 and 1."""
    if not 0.0 < confidence < 1.0:
        raise ConfigError(f"confidence {confidence:g} must lie between 0 and 1, e.g. 0.95.")
    return confidence


def _jackknife(estimate: float, without: np.ndarray, confidence: float) -> tuple[float, float]:
    """The ends of the interval, from the value without each image (N,).

    The jackknife takes off the bias's leading term, of the order of 1 / positives. What remains has the same sign, and
    on that side the interval reaches half of the correction further.
    """
    images = len(without)
    bias = (images - 1) * float(without.mean() - estimate)
    weight = (images - 1) * (without.mean() - without)
    squares = float((weight**2).sum())
    half = 0.0
    if squares > 0.0:
        # As many degrees of freedom as images of equal weight would show this concentration of the squares.
        degrees = max(1.0, squares**2 / float((weight**4).sum()))
        half = student_t_quantile((1.0 + confidence) / 2.0, degrees) * math.sqrt(squares / images / (images - 1))
    return estimate - bias - half - max(bias, 0.0) / 2.0, estimate - bias + half - min(bias, 0.0) / 2.0


def _finest(model: LeftOut, confidence: float) -> float:
    """The change of mAP, in points, that may hide where these images show none.

    Where no image is seen to overtake another, at most -ln(1 - confidence) such swaps were to be expected.
    """
    unseen, swap = -math.log(1.0 - checked_confidence(confidence)), model.swap[model.positives > 0]
    if not len(swap):
        return math.nan
    return unseen * 100.0 * float(swap.mean()) / len(swap)


def _lacking(model: LeftOut, least_per_class: float) -> str:
    """What an interval lacks, in words; empty where there are positives enough."""
    positives = model.positives[model.positives > 0]
    total = int(positives.sum())
    if total == 0:
        return NO_POSITIVE
    if total < LEAST_POSITIVES:
        more = _more(model.images, LEAST_POSITIVES / total)
        return f"{total} positive{'s' * (total != 1)}, and {LEAST_POSITIVES} are wanted: {more}"
    per_class = len(positives) / float((1.0 / positives).sum())
    if per_class < least_per_class:
        return (
            f"the classes have {per_class:.1f} positives each (harmonic mean), and {least_per_class:g} are wanted: "
            f"{_more(model.images, least_per_class / per_class)}"
        )
    return ""


def _more(images: int, factor: float) -> str:
    return f"about {math.ceil(images * (factor - 1.0)):,} more images of this kind"


def _without_ends(estimate: float, confidence: float, note: str) -> Interval:
    return Interval(
        estimate=None if math.isnan(estimate) else estimate, low=None, high=None, confidence=confidence, note=note
    )
