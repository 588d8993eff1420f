"""One quantised graph on the held-out images, and when another is better by more than noise."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...runtime.interval import Interval
from ...runtime.metrics import LeftOut, map_drop_interval
from ...runtime.student_t import student_t_quantile
from .quantiser import Quantiser, Ranges

_LEAST_IMAGES = 2  # of which a spread can be told


@dataclass(frozen=True)
class Candidate:
    """What is quantised.

    Attributes:
        quantiser: of the float graph.
        calibrator: its name.
        ranges: of the activations, by that calibrator.
    """

    quantiser: Quantiser
    calibrator: str
    ranges: Ranges


@dataclass(frozen=True)
class Trial:
    """One quantised graph, judged on the held-out images.

    Attributes:
        path: the file.
        candidate: what was quantised.
        drop: mAP points lost against the float graph; None where no label is known.
        errors: mean |difference| of a logit, float64 (M,) by image.
        left_out: what the mAP rests on; None where no label is known.
        in_float: layers that are not quantised.
    """

    path: Path
    candidate: Candidate = field(repr=False)
    drop: Interval | None
    errors: np.ndarray = field(repr=False)
    left_out: LeftOut | None = field(default=None, repr=False)
    in_float: tuple[str, ...] = ()

    @property
    def error(self) -> float:
        """Mean |difference| of a logit."""
        return float(self.errors.mean())

    def within(self, limit: float) -> bool:
        """Whether the drop's whole interval is."""
        return self.drop is not None and self.drop.high is not None and self.drop.high <= limit

    def __str__(self) -> str:
        """For people: the drop with its interval, and the logits' error."""
        error = f"logits off by {self.error:.3g} on average"
        if self.drop is None or self.drop.estimate is None:
            return error
        if self.drop.low is None or self.drop.high is None:
            return f"{self.drop.estimate:.2f} mAP points, {error}"
        return f"{self.drop.estimate:.2f} [{self.drop.low:.2f}, {self.drop.high:.2f}] mAP points, {error}"


def improves(candidate: Trial, incumbent: Trial, confidence: float) -> bool:
    """Whether a graph is better than another by more than noise, both paired over the same images.

    The mAP decides where its difference is clear. Else the logits do: their distance to the float graph's is known far
    more precisely, and a graph that is nearer has less that it could lose.
    """
    verdict = _clearer_map(candidate, incumbent, confidence)
    if verdict is not None:
        return verdict
    saved = incumbent.errors - candidate.errors
    if len(saved) < _LEAST_IMAGES:
        return False
    noise = float(saved.std(ddof=1)) / len(saved) ** 0.5
    return float(saved.mean()) > noise * student_t_quantile((1.0 + confidence) / 2.0, len(saved) - 1)


def best_of(trials: Iterable[Trial], confidence: float) -> Trial:
    """The graph whose logits are nearest to the float graph's, unless another's mAP is clearly higher."""
    nearest, *others = sorted(trials, key=lambda trial: trial.error)
    for other in others:
        if _clearer_map(other, nearest, confidence):
            nearest = other
    return nearest


def _clearer_map(candidate: Trial, incumbent: Trial, confidence: float) -> bool | None:
    """Whether the candidate's mAP is the higher one; None where the images cannot tell."""
    if candidate.left_out is None or incumbent.left_out is None:
        return None
    lost = map_drop_interval(incumbent.left_out, candidate.left_out, confidence)
    if lost.low is None or lost.high is None or lost.low <= 0.0 <= lost.high:
        return None
    return lost.high < 0.0
