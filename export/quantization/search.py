"""What every step of the search for the best int8 graph does: quantise, run, judge."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import ExportError
from .calibration import CalibrationImages
from .held_out import Judge
from .trials import Candidate, Trial


@dataclass(frozen=True)
class Search:
    """What every trial shares.

    Attributes:
        images: to correct biases, to rank layers, and to judge by.
        judge: compares with the float graph.
        scratch: a folder for what is tried.
        say: told what begins.
    """

    images: CalibrationImages
    judge: Judge
    scratch: Path
    say: Callable[[str], None]
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def attempt(self, candidate: Candidate, in_float: tuple[str, ...] = ()) -> Trial:
        """Quantise and judge.

        Raises:
            ExportError: the graph is refused, or gives no numbers.
        """
        quantiser = candidate.quantiser
        place = self.scratch / f"{quantiser.name}.{next(self._numbers)}"
        path = quantiser.quantise(candidate.ranges, place, in_float=in_float)
        return self.judged(path, candidate, in_float)

    def judged(self, path: Path, candidate: Candidate, in_float: tuple[str, ...] = ()) -> Trial:
        """What a file of the candidate says on the held-out images.

        Raises:
            ExportError: the graph is refused, or gives no numbers.
        """
        quantiser = candidate.quantiser
        logits = quantiser.logits(path, self.images.held_out)
        if not np.isfinite(logits).all():
            raise ExportError(
                f"the quantised graph ({quantiser.name}, {candidate.calibrator}) gives logits that are no numbers."
            )
        left_out = self.judge.left_out(logits)
        return Trial(path, candidate, self.judge.drop(left_out), self.judge.errors(logits), left_out, in_float)
