"""The best int8 graph for a runtime: the calibrator by the metric, then the costliest layers back in float."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...runtime.interval import Interval
from ...runtime.targets import Gates
from ..errors import ExportError
from .calibration import CalibrationImages
from .calibrators import CALIBRATORS, Histogram
from .graph_images import GraphImages
from .held_out import Judge
from .quantiser import Quantiser, Ranges

_RANKING_IMAGES = 16
_ONE_BY_ONE = 4  # layers in float; from then on half as many more at a time
_MOST_IN_FLOAT = 0.25  # of the layers; more is another network than the one that was asked for


@dataclass(frozen=True)
class Trial:
    """One quantised graph, judged on the held-out images.

    Attributes:
        path: the file.
        calibrator: its name.
        drop: mAP points lost against the float graph; None where no label is known.
        error: mean |difference| of a logit.
        in_float: layers that are not quantised.
    """

    path: Path
    calibrator: str
    drop: Interval | None
    error: float
    in_float: tuple[str, ...] = ()

    @property
    def cost(self) -> tuple[float, float]:
        """To be smallest: what the metric loses, then what the logits do."""
        lost = 0.0 if self.drop is None or self.drop.estimate is None else self.drop.estimate
        return lost, self.error

    def within(self, limit: float) -> bool:
        """Whether the drop's whole interval is."""
        return self.drop is not None and self.drop.high is not None and self.drop.high <= limit


@dataclass(frozen=True)
class Chosen:
    """What ships.

    Attributes:
        best: the graph.
        tried: one trial per calibrator, all layers in int8.
        note: what recovery did, or why there was none.
    """

    best: Trial
    tried: tuple[Trial, ...]
    note: str

    @property
    def details(self) -> dict[str, str]:
        """For the manifest of every artifact that is made of it."""
        found = {
            "calibrator": self.best.calibrator,
            "calibrators_tried": "; ".join(f"{trial.calibrator}: {_cost_text(trial)}" for trial in self.tried),
            "held_out_drop": _cost_text(self.best),
            "accuracy_recovery": self.note,
        }
        return found | ({"layers_in_float": ", ".join(self.best.in_float)} if self.best.in_float else {})


@dataclass(frozen=True)
class Search:
    """What every trial shares.

    Attributes:
        quantiser: makes the graphs and runs them.
        images: to rank layers and to judge by.
        judge: compares with the float graph.
        scratch: a folder for what is tried.
        say: told what begins.
    """

    quantiser: Quantiser
    images: CalibrationImages
    judge: Judge
    scratch: Path
    say: Callable[[str], None]

    def attempt(self, calibrator: str, ranges: Ranges, in_float: tuple[str, ...] = ()) -> Trial:
        """Quantise and judge.

        Raises:
            ExportError: the graph is refused, or gives no numbers.
        """
        place = self.scratch / f"{self.quantiser.name}.{calibrator.replace(' ', '-')}.{len(in_float)}"
        path = self.quantiser.quantise(ranges, place, in_float=in_float)
        logits = self.quantiser.logits(path, self.images.held_out)
        if not np.isfinite(logits).all():
            raise ExportError(
                f"the quantised graph ({self.quantiser.name}, {calibrator}) gives logits that are no numbers."
            )
        return Trial(path, calibrator, self.judge.drop(logits), self.judge.error(logits), in_float)

    def recover(self, start: Trial, ranges: Ranges, limit: float) -> tuple[Trial, str]:
        """The first graph within the limit as more and more of the worst layers are in float, or the best there is."""
        self.say("which layers cost most")
        images = self.images.ranges.spread(_RANKING_IMAGES)
        ranked = rank_layers(self.quantiser, ranges, images, self.scratch)
        most = max(1, int(_MOST_IN_FLOAT * len(ranked)))
        trials, count = [start], 1
        while count <= most:
            self.say(f"{count} of {len(ranked)} layers in float")
            with contextlib.suppress(ExportError):  # what is in int8 altogether runs, and so does not fall with it
                trials.append(self.attempt(start.calibrator, ranges, tuple(ranked[:count])))
            if trials[-1].within(limit):
                return trials[-1], f"{len(trials[-1].in_float)} of {len(ranked)} layers in float"
            count = count + 1 if count < _ONE_BY_ONE else count + count // 2
        best = min(trials, key=lambda trial: trial.cost)
        return best, f"{len(best.in_float)} of {len(ranked)} layers in float, and still not within {limit:g} points"


def choose(
    quantiser: Quantiser,
    histograms: Mapping[str, Histogram],
    images: CalibrationImages,
    *,
    limits: Gates,
    scratch: Path,
    say: Callable[[str], None] = lambda text: None,
) -> Chosen:
    """Quantise with every calibrator, keep the best, and recover accuracy where the gate asks for it.

    Args:
        quantiser: of the runtime.
        histograms: of its float graph's activations.
        images: to judge by.
        limits: the drop that the whole interval must stay within, and its confidence.
        scratch: for the files.
        say: told what begins.

    Raises:
        ExportError: with no calibrator a graph runs and gives numbers.
    """
    judge = Judge.of(quantiser.logits(quantiser.source, images.held_out), images.targets, limits.confidence)
    search = Search(quantiser, images, judge, scratch, say)
    tried: list[Trial] = []
    failed: ExportError | None = None
    ranges: dict[str, Ranges] = {}
    for name, calibrate in CALIBRATORS.items():
        say(name)
        ranges[name] = {tensor: calibrate(histogram) for tensor, histogram in histograms.items()}
        try:
            tried.append(search.attempt(name, ranges[name]))
        except ExportError as error:  # another calibrator may do
            failed = error
    if not tried:
        assert failed is not None
        raise failed
    best, limit = min(tried, key=lambda trial: trial.cost), limits.max_map_drop
    if limit is None:
        note = "no gate asks for any"
    elif best.within(limit):
        note = "not needed"
    elif judge.reference is None:
        note = "none: no held-out image has a label"
    elif not judge.can_settle(limit):
        note = f"none: {len(images.held_out)} held-out images cannot show a drop within {limit:g} points"
    else:
        best, note = search.recover(best, ranges[best.calibrator], limit)
    return Chosen(best, tuple(tried), note)


def rank_layers(quantiser: Quantiser, ranges: Ranges, images: GraphImages, scratch: Path) -> list[str]:
    """The layers by how far the logits move when each alone is quantised, the worst first."""
    expected = quantiser.logits(quantiser.source, images)
    noise = {}
    for name, alone in quantiser.each_alone(ranges, scratch):
        noise[name] = float(np.square(quantiser.logits(alone, images) - expected).mean())
    return sorted(noise, key=lambda name: -noise[name])


def _cost_text(trial: Trial) -> str:
    """For people: the drop with its interval, or the logits' error where no label is known."""
    if trial.drop is None:
        return f"logits off by {trial.error:.3g} on average"
    if trial.drop.low is None or trial.drop.high is None:
        return f"{trial.drop.estimate:.2f} mAP points"
    return f"{trial.drop.estimate:.2f} [{trial.drop.low:.2f}, {trial.drop.high:.2f}] mAP points"
