"""How thresholds are chosen, in the words of recipes and of the command line."""

import re
from typing import NamedTuple

import numpy as np

from ..errors import ConfigError
from .thresholds import best_thresholds, precision_thresholds, recall_thresholds

_NUMBER = re.compile(r"(?:(precision|recall) *= *)?(\d*\.?\d+(?:e-?\d+)?)")


class ThresholdRule(NamedTuple):
    """A rule; its text is what people write.

    Attributes:
        kind: "fixed": the same probability for every class; "best_f1"; "precision", "recall": at least so much.
        value: the probability, the precision or the recall, a fraction; None for "best_f1".
    """

    kind: str
    value: float | None = None

    def __str__(self) -> str:
        if self.value is None:
            return self.kind
        return f"{self.value:.15g}" if self.kind == "fixed" else f"{self.kind}={self.value:.15g}"

    def choose(self, scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """The thresholds float64 (C,) for probabilities (N, C) of validation images; 0.5 without a positive."""
        if self.kind == "fixed":
            assert self.value is not None
            return np.full(np.shape(scores)[1], self.value)
        if self.kind == "best_f1":
            return best_thresholds(scores, targets)
        assert self.value is not None
        choose = {"precision": precision_thresholds, "recall": recall_thresholds}[self.kind]
        return choose(scores, targets, self.value)

    def missed(self, scores: np.ndarray, targets: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        """Which classes have a positive and yet no threshold of the wanted precision, bool (C,)."""
        if self.kind != "precision":
            return np.zeros(len(thresholds), bool)
        reported = (np.asarray(scores, np.float64) >= thresholds) & (targets >= 0)
        right = (reported & (targets == 1)).sum(axis=0)
        return (targets == 1).any(axis=0) & (right / np.maximum(reported.sum(axis=0), 1) < self.value)


def threshold_rule(text: str | float) -> ThresholdRule:
    """What a recipe or an option says.

    Raises:
        ConfigError: it says nothing that can be meant.
    """
    words = str(text).strip()
    if words == "best_f1":
        return ThresholdRule("best_f1")
    found = _NUMBER.fullmatch(words)
    kind, value = (found[1] or "fixed", float(found[2])) if found else ("", 0.0)
    if kind == "fixed" and 0.0 < value < 1.0:
        return ThresholdRule("fixed", value)
    if kind in ("precision", "recall") and 0.0 < value <= 1.0:
        return ThresholdRule(kind, value)
    raise ConfigError(f"thresholds {words!r}: give a probability such as 0.5, best_f1, precision=0.9 or recall=0.8.")
