"""What is done where a gate asks for more accuracy than int8 alone keeps.

Weights are equalised across layers, then rounded adaptively, then layers go back into float; each step only where the
ones before were not enough. The first two cost a device nothing: logits decide on them where labels cannot. Layers in
float cost time, and go back only where the images can show that they are worth it.
"""

import contextlib
from dataclasses import dataclass, replace

from ..errors import ExportError
from .calibrators import calibrated
from .layers import IMAGES, rank_layers, worst_text
from .search import Search
from .trials import Trial, best_of, improves

_ONE_BY_ONE = 4  # layers in float; from then on half as many more at a time
_MOST_IN_FLOAT = 0.25  # of the layers; more is another network than the one that was asked for


@dataclass(frozen=True)
class Recovered:
    """What recovery reached.

    Attributes:
        best: the graph.
        all_int8: the graph that it has layers in float of; the same where it has none.
        note: what was done.
        details: of each step, for the manifest.
    """

    best: Trial
    all_int8: Trial
    note: str
    details: dict[str, str]


def recover(search: Search, start: Trial, limit: float) -> Recovered:
    """Take the steps one by one until the drop's whole interval is within the limit.

    Args:
        search: what trials share.
        start: all layers in int8.
        limit: mAP points.

    Raises:
        ExportError: the layers cannot be ranked.
    """
    start, equalisation = _equalised(search, start)
    details = {"equalisation": equalisation}
    if start.within(limit):
        return Recovered(start, start, "weights equalised across layers", details)
    start, details["adaptive_rounding"] = _rounded_adaptively(search, start)
    if start.within(limit):
        return Recovered(start, start, "weights rounded adaptively", details)
    if why := _why_not_shown(search, limit):
        return Recovered(start, start, f"no layers in float: {why}", details)
    candidate = start.candidate
    search.say("which layers cost most")
    images = search.images.ranges.spread(IMAGES)
    ranked = rank_layers(candidate.quantiser, candidate.ranges, images, search.scratch)
    details["layers_ranked"] = worst_text(ranked)
    names = tuple(ranked)
    most, count = max(1, int(_MOST_IN_FLOAT * len(names))), 1
    trials = [start]
    while count <= most:
        search.say(f"{count} of {len(names)} layers in float")
        with contextlib.suppress(ExportError):  # what is in int8 altogether runs, and so does not fall with it
            trials.append(search.attempt(candidate, names[:count]))
        if trials[-1].within(limit):
            note = f"{len(trials[-1].in_float)} of {len(names)} layers in float"
            return Recovered(trials[-1], start, note, details)
        count = count + 1 if count < _ONE_BY_ONE else count + count // 2
    best = best_of(trials, search.judge.confidence)
    note = f"{len(best.in_float)} of {len(names)} layers in float, and still not within {limit:g} points"
    return Recovered(best, start, note, details)


def _why_not_shown(search: Search, limit: float) -> str:
    """Why the held-out images cannot show that any graph is within the limit; empty where they can."""
    if search.judge.reference is None:
        return "no held-out image has a label"
    if not search.judge.can_settle(limit):
        return f"{len(search.images.held_out)} held-out images cannot show a drop within {limit:g} points"
    return ""


def _rounded_adaptively(search: Search, start: Trial) -> tuple[Trial, str]:
    """With weights that make up for each other's rounding where that is better by more than noise, and a note."""
    candidate = start.candidate
    search.say("round weights adaptively")
    try:
        adapted = candidate.quantiser.rounded_adaptively(candidate.ranges, search.images.ranges, search.scratch)
        trial = search.attempt(replace(candidate, quantiser=adapted))
    except ExportError as error:  # the graph without runs
        return start, f"not kept: {error}"
    if improves(trial, start, search.judge.confidence):
        return trial, f"kept; without it: {start}"
    return start, f"not kept; with it: {trial}"


def _equalised(search: Search, start: Trial) -> tuple[Trial, str]:
    """With weights equalised across layers where that is better by more than noise, and a note."""
    candidate, images = start.candidate, search.images.ranges
    search.say("equalise weights across layers")
    try:
        found = candidate.quantiser.equalised(images, search.scratch)
        if found is None:
            return start, "none: no convolution follows another directly or through a ReLU"
        equalised, ranges = found.quantiser, calibrated(found.histograms, candidate.calibrator)
        if candidate.quantiser.corrects:
            equalised = equalised.corrected(ranges, images, search.scratch)
        trial = search.attempt(replace(candidate, quantiser=equalised, ranges=ranges))
    except ExportError as error:  # the graph without runs
        return start, f"not kept: {error}"
    if improves(trial, start, search.judge.confidence):
        return trial, f"kept, of {found.pairs} pairs of layers; without it: {start}"
    return start, f"not kept, of {found.pairs} pairs of layers; with it: {trial}"
