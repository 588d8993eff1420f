"""What a model said about images, and the labels that follow."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Outputs:
    """What a model said about the images that count.

    Attributes:
        logits: float32 (N, C), finite.
        probabilities: float32 (N, C), those that it reports.
        thresholds: float64 (C,), from which it reports a label.
        effective: the backend's effective properties.
    """

    logits: np.ndarray
    probabilities: np.ndarray
    thresholds: np.ndarray
    effective: dict[str, str] = field(default_factory=dict)

    @property
    def labels(self) -> np.ndarray:
        """The labels that it reports, bool (N, C)."""
        return self.probabilities >= self.thresholds
