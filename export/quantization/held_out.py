"""What a graph says of the held-out images, and what int8 costs there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.device import usable_cores
from ...runtime.interval import Interval
from ...runtime.metrics import LeftOut, leave_one_out, map_drop_interval
from ..errors import ExportError, one_line
from .graph_images import GraphImages


def run_logits(model: Path, images: GraphImages) -> np.ndarray:
    """The logits float32 (N, C) that onnxruntime's CPU provider computes.

    Raises:
        ExportError: it refuses the graph.
    """
    return np.concatenate([logits for (logits,) in run(model, images, ["logits"])])


def run(model: Path, images: GraphImages, outputs: Sequence[str], batch: int = 16) -> Iterator[list[np.ndarray]]:
    """The named outputs for one batch of images after the other, by onnxruntime's CPU provider.

    Raises:
        ExportError: it refuses the graph.
    """
    try:
        session = start(model)
        takes = session.get_inputs()[0]
        left = len(images)
        for fed in images.batches(takes.shape[0], batch):
            yield [values[:left] for values in session.run(list(outputs), {takes.name: fed})]
            left -= len(fed)
    except Exception as error:  # its exception types are not exported for catching
        raise ExportError(f"onnxruntime refuses the graph: {one_line(error)}") from error


def start(model: Path) -> Any:
    """A session of onnxruntime's CPU provider."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4  # what goes wrong comes as an exception
    settings.intra_op_num_threads = usable_cores()  # else it takes all cores, whatever this process is kept to
    return onnxruntime.InferenceSession(str(model), settings, providers=["CPUExecutionProvider"])


@dataclass(frozen=True)
class Judge:
    """Compares quantised logits with the float graph's on the held-out images.

    Attributes:
        logits: the float graph's, float32 (M, C).
        targets: int8 (M, C).
        confidence: level of the drop's interval.
        reference: of `logits`; None where no label is known.
    """

    logits: np.ndarray
    targets: np.ndarray
    confidence: float
    reference: LeftOut | None

    @classmethod
    def of(cls, logits: np.ndarray, targets: np.ndarray, confidence: float) -> "Judge":
        labelled = bool((targets == 1).any())
        return cls(logits, targets, confidence, leave_one_out(logits, targets) if labelled else None)

    def left_out(self, logits: np.ndarray) -> LeftOut | None:
        """What the mAP of these logits rests on; None where no label is known."""
        return None if self.reference is None else leave_one_out(logits, self.targets)

    def drop(self, left_out: LeftOut | None) -> Interval | None:
        """The mAP that is lost, in points; None where no label is known."""
        if self.reference is None or left_out is None:
            return None
        return map_drop_interval(self.reference, left_out, self.confidence)

    def errors(self, logits: np.ndarray) -> np.ndarray:
        """Mean |difference| of a logit, float64 (M,) by image."""
        return np.abs(logits - self.logits).mean(axis=1, dtype=np.float64)

    def can_settle(self, limit: float) -> bool:
        """Whether so many images could show a drop to be within `limit` at all."""
        if self.reference is None:
            return False
        least = map_drop_interval(self.reference, self.reference, self.confidence).high
        return least is not None and least <= limit
