"""An artifact's own thresholds and temperature."""

from collections.abc import Iterator, Sequence

import numpy as np

from ..metrics import at_temperature
from ..metrics.temperature import LEAST, MOST
from ..record import Record

_MARGIN = 5.0  # what wrote the bundle may have searched further than `fit_temperature`
_LEAST_TEMPERATURE, _LARGEST_TEMPERATURE = LEAST / _MARGIN, MOST * _MARGIN
_POINTS = 100


class OperatingPoint(Record):
    """From an artifact's logits to its labels, estimated on validation images through its own files.

    A class's probability is sigmoid(logit / temperature); its label is reported from its threshold on.

    Attributes:
        thresholds: per class, of these probabilities.
        temperature: one for all classes.
        rule: how the thresholds were chosen, as it was asked for: "0.5", "best_f1", "precision=0.9", "recall=0.8".
        ece_before: expected calibration error of sigmoid(logit) on the images, in points.
        ece_after: the same of the probabilities at the temperature.
        dataset: name of the split.
        fingerprint: Dataset.fingerprint() of the images as they are listed.
        images: how many of them could be decoded.
        without_positives: classes of which no image is a positive: their threshold is 0.5, or the rule's number.
        missed: classes that reach the wanted precision at no threshold: theirs is the one of the highest.
    """

    thresholds: tuple[float, ...]
    temperature: float
    rule: str
    ece_before: float
    ece_after: float
    dataset: str
    fingerprint: str
    images: int
    without_positives: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()

    @property
    def at_bound(self) -> bool:
        """Whether the temperature is where the search for it must end, so that the images did not tell it."""
        return not LEAST < self.temperature < MOST

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """What it makes of logits (N, C)."""
        return at_temperature(logits, self.temperature)


def operating_point_problems(classes: Sequence[str], point: OperatingPoint) -> Iterator[str]:
    """What is wrong with a decoded operating point beyond its thresholds, in words."""
    if not _LEAST_TEMPERATURE <= point.temperature <= _LARGEST_TEMPERATURE:
        yield f"temperature {point.temperature:g}: needs {_LEAST_TEMPERATURE:g} to {_LARGEST_TEMPERATURE:g}"
    if not all(0 <= error <= _POINTS for error in (point.ece_before, point.ece_after)):
        yield "a calibration error that is not within 0 and 100 points"
    if point.images < 1:
        yield f"an operating point of {point.images} images"
    unknown = sorted({*point.without_positives, *point.missed} - set(classes))
    if unknown:
        yield f"its operating point names {unknown[0]!r}, which is none of `classes`"
