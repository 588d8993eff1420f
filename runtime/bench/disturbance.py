"""Was a turn disturbed? A pure function of its evidence: the thresholds are here and nowhere else.

`python benchmarks/canary.py --replay` holds the recorded evidence of quiet and busy runs against them.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from .plan import queries_for
from .turn import Turn


class Thresholds(NamedTuple):
    """Above these a turn counts as disturbed. Fractions of one, ratios, or what is said.

    Attributes:
        others: of the usable cores' time, taken by other processes. A tenth is far above an idle system's own services
            and far below one busy process on a machine of up to eight cores.
        steal: of the time that was wanted, given to other machines by the hypervisor.
        some_others: other processes took at least this much, so that waiting and switching is their doing. With less,
            a process waits for its own threads: it has more of them than there are cores.
        waited: seconds waited per second, where others took `some_others`.
        switches: involuntary switches per second, where others took `some_others`.
        canary: mean time of the fixed work over its quiet floor: one that shares its core has 2, a quiet one up to 1.4
            for some milliseconds.
        p50: a turn's p50 over the lowest of the artifact's turns. On a virtual machine of which nobody else used a core
            it was up to 1.45: the core's clock, and what its other half does for other machines.
        p90: a turn's p90 over the lowest likewise.
        tail: a turn's p90 over its own p50.
        jitter_ms: differences of latency below this are the clock's and the scheduler's, on any machine.
    """

    others: float = 0.10
    steal: float = 0.05
    some_others: float = 0.03
    waited: float = 0.10
    switches: float = 100.0
    canary: float = 1.5
    p50: float = 1.6
    p90: float = 2.0
    tail: float = 2.5
    jitter_ms: float = 0.05


THRESHOLDS = Thresholds()
COUNTERS_ALONE = THRESHOLDS._replace(p50=math.inf, p90=math.inf, tail=math.inf)  # turns that differ by what was asked

_WORDS = {
    "others": "other processes used {percent:.0f} % of the cores",
    "steal": "the hypervisor gave {percent:.0f} % of the time to other machines",
    "waited": "its threads waited {value:.2f} s a second for a core",
    "switches": "it lost its core {value:.0f} times a second",
    "canary": "a fixed work took {value:.1f}x its quiet time",
    "p50": "p50 was {value:.1f}x its quiet floor",
    "p90": "p90 was {value:.1f}x its quiet floor",
    "tail": "p90 was {value:.1f}x p50",
}
_SLOWNESS = frozenset({"canary", "p50", "p90", "tail"})  # seen in the times alone, whoever caused it


def judge_turns(turns: Sequence[Turn], thresholds: Thresholds = THRESHOLDS) -> tuple[Turn, ...]:
    """Mark each turn of one artifact with what speaks against it.

    The quiet floor of the canary, of p50 and of p90 is the lowest that any of the turns reached. A slowness that began
    and stayed until the end while the system's counters saw nobody else is the device's own (heat, power): it is what
    the device does under load and is not marked; see `Latency.throttled`.

    Args:
        turns: in the order measured, marked or not.
        thresholds: what counts.

    Returns:
        The same turns with `disturbed_by` set anew.
    """
    if not turns:
        return ()
    floor = _Floor(
        canary_ms=min(turn.evidence.canary_floor_ms for turn in turns),
        p50_ms=min(turn.p50_ms for turn in turns),
        p90_ms=min(turn.p90_ms for turn in turns),
    )
    found = [_findings(turn, floor, thresholds) for turn in turns]
    for index in range(_stays_slow_from(turns, found, thresholds), len(turns)):
        found[index] = {}
    return tuple(
        msgspec.structs.replace(turn, disturbed_by=against) for turn, against in zip(turns, found, strict=True)
    )


def turns_needed(rounds: int) -> int:
    """Of `rounds` planned turns so many must be quiet, or the artifact's figures are those of a disturbed machine."""
    return max(1, math.ceil(rounds / 2))


def samples_needed(queries: int) -> int:
    """Of `queries` planned inferences so many must be of quiet turns: for the headline, or for the median alone."""
    headline = queries_for(0.90)
    return headline if queries >= headline else min(queries, queries_for(0.50))


def disturbance(turns: Sequence[Turn], rounds: int, queries: int) -> str:
    """What disturbed an artifact, in words; empty when enough of its turns were quiet.

    Args:
        turns: judged.
        rounds: how many turns were planned.
        queries: how many inferences were.
    """
    quiet = [turn for turn in turns if turn.quiet]
    enough = len(quiet) >= turns_needed(rounds) and sum(turn.samples for turn in quiet) >= samples_needed(queries)
    if enough or len(quiet) == len(turns):
        return ""
    return f"{sum(not turn.quiet for turn in turns)} of {len(turns)} turns disturbed: {in_words(worst(turns))}"


def worst(turns: Sequence[Turn]) -> dict[str, float]:
    """The largest value of each kind of evidence that speaks against one of the turns."""
    kinds = [kind for kind in _WORDS if any(kind in turn.disturbed_by for turn in turns)]
    return {kind: max(turn.disturbed_by.get(kind, 0.0) for turn in turns) for kind in kinds}


def in_words(against: Mapping[str, float]) -> str:
    """Evidence for people; a kind of another version by its name."""
    sentences = {kind: _WORDS.get(kind, f"{kind} {{value:.3g}}") for kind in against}
    return "; ".join(sentences[kind].format(value=value, percent=100 * value) for kind, value in against.items())


def unseen(turns: Sequence[Turn]) -> tuple[str, ...]:
    """The evidence that this system does not give, in words."""
    missing = {
        "other processes' use of the cores": [turn.evidence.others for turn in turns],
        "time given to other machines": [turn.evidence.steal for turn in turns],
        "waiting for a core": [turn.evidence.waited for turn in turns],
        "involuntary context switches": [turn.evidence.switches for turn in turns],
    }
    return tuple(name for name, values in missing.items() if turns and all(value is None for value in values))


class _Floor(NamedTuple):
    """The lowest of all turns of an artifact."""

    canary_ms: float
    p50_ms: float
    p90_ms: float


def _findings(turn: Turn, floor: _Floor, limits: Thresholds) -> dict[str, float]:
    seen = turn.evidence
    others = seen.others or 0.0
    beside_others = others > limits.some_others
    slower = turn.p50_ms - floor.p50_ms > limits.jitter_ms
    longer_tail = turn.p90_ms - floor.p90_ms > limits.jitter_ms
    spread = turn.p90_ms - turn.p50_ms > limits.jitter_ms
    measured = {
        "others": (others, limits.others, True),
        "steal": (seen.steal or 0.0, limits.steal, True),
        "waited": (seen.waited or 0.0, limits.waited, beside_others),
        "switches": (seen.switches or 0.0, limits.switches, beside_others),
        "canary": (_ratio(seen.canary_ms, floor.canary_ms), limits.canary, True),
        "p50": (_ratio(turn.p50_ms, floor.p50_ms), limits.p50, slower),
        "p90": (_ratio(turn.p90_ms, floor.p90_ms), limits.p90, longer_tail),
        "tail": (_ratio(turn.p90_ms, turn.p50_ms), limits.tail, spread),
    }
    return {kind: round(value, 4) for kind, (value, limit, counts) in measured.items() if counts and value > limit}


def _ratio(value: float, floor: float) -> float:
    return value / floor if floor > 0 else 1.0


def _stays_slow_from(turns: Sequence[Turn], found: Sequence[Mapping[str, float]], limits: Thresholds) -> int:
    """Where the device's own slowness begins, which lasts until the end, for a third of the turns at least."""
    begin = len(turns)
    while begin > 0 and found[begin - 1] and _nobody_else(turns[begin - 1], found[begin - 1], limits):
        begin -= 1
    lasted = len(turns) - begin
    return begin if lasted >= 2 and 3 * lasted >= len(turns) > lasted else len(turns)


def _nobody_else(turn: Turn, against: Mapping[str, float], limits: Thresholds) -> bool:
    """The counters are there, and say that nobody else used the machine; only the times are long."""
    others = turn.evidence.others
    return others is not None and others <= limits.some_others and set(against) <= _SLOWNESS
