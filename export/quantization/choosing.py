"""The best int8 graph for a runtime: biases corrected, the calibrator by the held-out images, recovered if need be."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...runtime.targets import Gates
from ..errors import ExportError
from .calibration import CalibrationImages
from .calibrators import CALIBRATORS, Histogram, calibrated
from .held_out import Judge
from .latency import latency_ratio
from .layers import IMAGES, worst_text
from .quantiser import Quantiser
from .recovery import recover
from .search import Candidate, Search
from .trials import Trial, best_of, improves


@dataclass(frozen=True)
class Chosen:
    """What ships.

    Attributes:
        best: the graph.
        tried: one trial per calibrator, all layers in int8.
        note: what recovery did, or why there was none.
        steps: what each other step found, by name.
    """

    best: Trial
    tried: tuple[Trial, ...]
    note: str
    steps: dict[str, str] = field(default_factory=dict)

    @property
    def details(self) -> dict[str, str]:
        """For the manifest of every artifact that is made of it."""
        found = {
            "calibrator": self.best.candidate.calibrator,
            "calibrators_tried": "; ".join(f"{trial.candidate.calibrator}: {trial}" for trial in self.tried),
            "held_out_drop": str(self.best),
            "accuracy_recovery": self.note,
            **self.steps,
        }
        return found | ({"layers_in_float": ", ".join(self.best.in_float)} if self.best.in_float else {})


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
        images: to correct and to judge by.
        limits: the drop that the whole interval must stay within, and its confidence.
        scratch: for the files.
        say: told what begins.

    Raises:
        ExportError: with no calibrator a graph runs and gives numbers.
    """
    judge = Judge.of(quantiser.logits(quantiser.source, images.held_out), images.targets, limits.confidence)
    search = Search(images, judge, scratch, say)
    quantiser, steps = _correcting(search, quantiser, histograms)
    tried = _with_each_calibrator(search, quantiser, histograms)
    best = best_of(tried, limits.confidence)
    if quantiser.corrects:
        best, steps["bias_correction"] = _corrected_or_not(search, quantiser, best)
    limit, all_int8 = limits.max_map_drop, best
    if limit is None:
        note = "no gate asks for any"
    elif best.within(limit):
        note = "not needed"
    else:
        found = recover(search, best, limit)
        best, all_int8, note = found.best, found.all_int8, found.note
        steps |= found.details
    used = best.candidate.quantiser
    steps["layer_snr"] = _snr_text(search, best)
    if best.in_float and used.timed_in:
        ratio = latency_ratio(*(used.run_once(one.path, images.held_out) for one in (best, all_int8)))
        steps["latency_price"] = f"{ratio:.2f} times the all-int8 file ({used.timed_in}, batch 1, at export)"
    return Chosen(best, tuple(tried), note, steps)


def judge_trained(quantiser: Quantiser, path: Path, images: CalibrationImages, *, limits: Gates) -> Chosen:
    """A graph whose ranges were learned with its weights: it is what it is.

    Args:
        quantiser: runs it and its float graph.
        path: the file.
        images: to judge by.
        limits: for the confidence of the drop's interval.

    Raises:
        ExportError: the graph is refused, or gives no numbers.
    """
    judge = Judge.of(quantiser.logits(quantiser.source, images.held_out), images.targets, limits.confidence)
    search = Search(images, judge, path.parent, lambda text: None)
    trial = search.judged(path, Candidate(quantiser, "trained", {}))
    return Chosen(trial, (trial,), "none: the student was trained in int8")


def _correcting(
    search: Search, quantiser: Quantiser, histograms: Mapping[str, Histogram]
) -> tuple[Quantiser, dict[str, str]]:
    """The quantiser with bias correction, or as it is and why."""
    search.say("correct biases")
    try:  # rounded weights are the same with each calibrator
        ranges = calibrated(histograms, next(iter(CALIBRATORS)))
        return quantiser.corrected(ranges, search.images.ranges, search.scratch), {}
    except ExportError as error:
        return quantiser, {"bias_correction": f"not kept: {error}"}


def _with_each_calibrator(search: Search, quantiser: Quantiser, histograms: Mapping[str, Histogram]) -> list[Trial]:
    """One trial per calibrator that gives a graph."""
    tried, failed = [], None
    for name in CALIBRATORS:
        search.say(name)
        try:
            tried.append(search.attempt(Candidate(quantiser, name, calibrated(histograms, name))))
        except ExportError as error:  # another calibrator may do
            failed = error
    if not tried:
        assert failed is not None
        raise failed
    return tried


def _corrected_or_not(search: Search, quantiser: Quantiser, corrected: Trial) -> tuple[Trial, str]:
    """The trial, or that of the same graph with its own biases unless correcting them is better by more than noise."""
    search.say("without corrected biases")
    try:
        plain = search.attempt(replace(corrected.candidate, quantiser=quantiser.uncorrected()))
    except ExportError as error:
        return corrected, f"kept; without it: {error}"
    if improves(corrected, plain, search.judge.confidence):
        return corrected, f"kept; without it: {plain}"
    return plain, f"not kept; with it: {corrected}"


def _snr_text(search: Search, trial: Trial) -> str:
    """The worst layers of a graph, or why they are not known."""
    search.say("signal to noise of each layer")
    images = search.images.ranges.spread(IMAGES)
    try:
        return worst_text(trial.candidate.quantiser.layer_snr(trial.path, images, search.scratch))
    except ExportError as error:
        return f"not measured: {error}"
