"""What a model says about one image."""

from pathlib import Path

import msgspec
import numpy as np

from ..images import ImageSource, source_name


class Prediction(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What the model says about one image.

    Attributes:
        source: the path as it was given, an open file's name, or "image <place>" for what has no name.
        classes: C names.
        thresholds: per class, the probability from which its label is reported.
        probabilities: float32 (C,).
    """

    source: str
    classes: tuple[str, ...]
    thresholds: tuple[float, ...]
    probabilities: np.ndarray

    @property
    def labels(self) -> dict[str, float]:
        """{class: probability} of the classes at or above their threshold, the most probable first."""
        return {name: p for i, name, p in self._sorted() if p >= self.thresholds[i]}

    def top(self, k: int) -> dict[str, float]:
        """{class: probability} of the `k` most probable classes, whatever their thresholds."""
        return {name: p for _, name, p in self._sorted()[:k]}

    def __repr__(self) -> str:
        said = ", ".join(f"{name} {p:.2f}" for name, p in self.labels.items())
        return f"<Prediction {self.source}: {said or 'no label'}>"

    def _sorted(self) -> list[tuple[int, str, float]]:
        order = np.argsort(-self.probabilities, kind="stable")
        return [(int(i), self.classes[i], float(self.probabilities[i])) for i in order]


def called(source: ImageSource, place: int) -> str:
    """What a prediction calls its image."""
    return str(source) if isinstance(source, str | Path) else source_name(source, f"image {place}")
