"""Which numbers of a benchmark are independent of each other, and what interval of a ratio they give.

The inferences of one process resemble each other, and so do its turns: where its memory lies makes it some per cent
faster or slower than the next process for as long as it lives (Kalibera and Jones, Rigorous Benchmarking in Reasonable
Time, ISMM 2013). Taking them for independent calls two equal artifacts different most of the time. Hence one number
per process, the mean logarithm of its turns' quantiles, and where a side has several runs one per run, since machines
drift between runs too. The interval is Welch's of the difference of logarithms; of two artifacts that one benchmark
measured in turns, that of the differences within each pair of processes.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ..bench.report import ArtifactBench
from ..bench.turn import Turn
from ..interval import Interval
from ..student_t import student_t_quantile
from .records import Statistic


def process_times(artifact: ArtifactBench, statistic: Statistic) -> dict[int, float]:
    """Logarithm of milliseconds by process of one run's artifact: of its quiet turns; empty without a time.

    A server's highest rate is one number, of the one process that was asked.
    """
    if artifact.server is not None:
        return {} if artifact.server.rate is None else {0: math.log(1000.0 / artifact.server.rate)}
    times: dict[int, list[float]] = {}
    for turn in artifact.turns:
        value = _milliseconds(turn, statistic)
        if turn.quiet and value > 0:
            times.setdefault(turn.process, []).append(math.log(value))
    return {process: float(np.mean(values)) for process, values in times.items()}


def _milliseconds(turn: Turn, statistic: Statistic) -> float:
    if turn.inferences_per_s is not None:
        return 1000.0 / turn.inferences_per_s
    return turn.p50_ms if statistic == "p50" else turn.p90_ms


def ratio_of_independent(a: Sequence[float], b: Sequence[float], confidence: float) -> Interval:
    """Time of B over time of A by Welch's interval.

    Args:
        a: logarithms of A's units, one at least.
        b: of B's.
        confidence: two-sided level.
    """
    difference = float(np.mean(b) - np.mean(a))
    if min(len(a), len(b)) < 2:
        return _interval(difference, None, confidence, "")
    parts = [float(np.var(side, ddof=1)) / len(side) for side in (a, b)]
    variance = sum(parts)
    if variance == 0:
        return _interval(difference, 0.0, confidence, "Welch's t")
    spread = sum(part**2 / (len(side) - 1) for part, side in zip(parts, (a, b), strict=True))
    reach = student_t_quantile((1 + confidence) / 2, max(1.0, variance**2 / spread)) * math.sqrt(variance)
    return _interval(difference, reach, confidence, "Welch's t")


def ratio_of_pairs(a: Mapping[int, float], b: Mapping[int, float], confidence: float) -> Interval:
    """The same of units that were measured side by side, by their number; those of one side alone do not count."""
    differences = np.array([b[number] - a[number] for number in sorted(set(a) & set(b))])
    if len(differences) < 2:
        estimate = float(np.mean(list(b.values())) - np.mean(list(a.values())))
        return _interval(estimate, None, confidence, "")
    error = float(differences.std(ddof=1)) / math.sqrt(len(differences))
    reach = student_t_quantile((1 + confidence) / 2, len(differences) - 1) * error
    return _interval(float(differences.mean()), reach, confidence, "Student's t of pairs")


def _interval(difference: float, reach: float | None, confidence: float, method: str) -> Interval:
    if reach is None:
        return Interval(estimate=math.exp(difference), low=None, high=None, confidence=confidence)
    low, high = math.exp(difference - reach), math.exp(min(difference + reach, 700.0))
    return Interval(estimate=math.exp(difference), low=low, high=high, confidence=confidence, method=method)
