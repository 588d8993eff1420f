"""What the artifacts said of each image of a split, kept beside a report: for curves and for comparisons of later."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

_LABELS, _REFERENCE, _ARTIFACT = "labels", "reference", "artifact:"
_STORED = np.float16  # of a probability; a report's own numbers are computed before that


@dataclass(frozen=True)
class SplitScores:
    """Labels and probabilities of the M images that a report's numbers rest on, in the split's order.

    Attributes:
        labels: int8 (M, C); 1, 0 or -1 (unknown).
        reference: float (M, C), the reference's probabilities.
        artifacts: by name, the probabilities (M, C) that an artifact reports, at its own temperature.
    """

    labels: np.ndarray
    reference: np.ndarray
    artifacts: Mapping[str, np.ndarray]

    def samples(self) -> dict[str, np.ndarray]:
        """Arrays by name, as `save_run` keeps them; probabilities are rounded to float16."""
        rounded = {f"{_ARTIFACT}{name}": values.astype(_STORED) for name, values in self.artifacts.items()}
        return {_LABELS: self.labels, _REFERENCE: self.reference.astype(_STORED), **rounded}


def stored_scores(samples: Mapping[str, np.ndarray]) -> SplitScores | None:
    """What `SplitScores.samples` gave, in float16 still; None where they are not there, or are no scores."""
    if _LABELS not in samples or _REFERENCE not in samples:
        return None
    labels, reference = samples[_LABELS], samples[_REFERENCE]
    artifacts = {name.removeprefix(_ARTIFACT): one for name, one in samples.items() if name.startswith(_ARTIFACT)}
    probabilities = [reference, *artifacts.values()]
    if labels.ndim != 2 or any(one.shape != labels.shape or one.dtype.kind != "f" for one in probabilities):
        return None
    if not all(((one >= 0) & (one <= 1)).all() for one in probabilities) or not np.isin(labels, (-1, 0, 1)).all():
        return None
    return SplitScores(labels, reference, artifacts)
