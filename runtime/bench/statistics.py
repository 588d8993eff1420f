"""The numbers of a benchmark and their intervals: pure functions of samples and turns.

The samples of one turn resemble each other (the same clock rate, the same state of the caches), so that an interval
which takes them for independent, as the binomial one of order statistics does, is far too narrow. What is independent,
more or less, is the turns. Hence sectioning (Asmussen and Glynn, Stochastic Simulation, 2007, III.5a; Nakayama, ACM
TOMACS 24, 2014): the estimate is the quantile of all samples, its standard error comes from how far the turns' own
quantiles lie from it, and Student's t with one degree of freedom less than there are turns makes up for their small
number. In simulations (4 to 12 turns whose speed differs by 3 %, 95 % nominal) sectioning covers p50 and p90 in 92 to
96 % of cases, a bootstrap over turns in 74 to 88 %, the binomial interval in 16 to 78 %.
"""

import math
from collections.abc import Sequence

import numpy as np

from ..interval import Interval
from ..record import Record
from ..student_t import student_t_quantile
from .plan import queries_for

CONFIDENCE = 0.95
_THROTTLING = 1.10


class Latency(Record):
    """Steady latency of one artifact in milliseconds of wall time per inference of one batch.

    Attributes:
        samples: how many inferences are behind these numbers.
        turns: in how many turns they were measured.
        mean_ms: their mean.
        p50: median; the intervals' note says how they are made, or why there is none.
        p90: the headline, as in MLPerf's single-stream scenario.
        p95: what the gate `max_p95_ms` is judged on.
        p99_ms: without an interval, since a turn has too few samples for one of its own.
        throttled: the last third of the samples is over 10 % slower than the first, by their medians.
    """

    samples: int
    turns: int
    mean_ms: float
    p50: Interval
    p90: Interval
    p95: Interval
    p99_ms: float | None
    throttled: bool


def summarise(turns: Sequence[Sequence[float]]) -> Latency:
    """The statistics of the turns that count.

    Args:
        turns: milliseconds of each inference, by turn, in the order measured; at least one sample.
    """
    samples = np.concatenate([np.asarray(turn, float) for turn in turns])
    return Latency(
        samples=len(samples),
        turns=len(turns),
        mean_ms=float(samples.mean()),
        p50=quantile(turns, 0.50),
        p90=quantile(turns, 0.90),
        p95=quantile(turns, 0.95),
        p99_ms=quantile(turns, 0.99).estimate,
        throttled=throttled(samples),
    )


def quantile(turns: Sequence[Sequence[float]], p: float, confidence: float = CONFIDENCE) -> Interval:
    """The quantile `p` (0 < p < 1) of all samples, with its interval by sectioning over the turns.

    Args:
        turns: samples by turn.
        p: which quantile.
        confidence: two-sided level.

    Returns:
        Without an estimate when the samples are too few to state the quantile, without ends from a single turn. The
        lower end is never below the smallest sample.
    """
    samples = np.concatenate([np.asarray(turn, float) for turn in turns])
    needed = queries_for(p)
    if len(samples) < needed:
        note = f"p{100 * p:g} needs {needed} inferences, there are {len(samples)}"
        return Interval(estimate=None, low=None, high=None, confidence=confidence, note=note)
    estimate = float(np.quantile(samples, p))
    sections = np.array([np.quantile(turn, p) for turn in turns if len(turn)])
    if len(sections) < 2:
        return Interval(estimate=estimate, low=None, high=None, confidence=confidence, note="one turn: no interval")
    error = math.sqrt(float(((sections - estimate) ** 2).sum()) / (len(sections) - 1) / len(sections))
    reach = student_t_quantile((1 + confidence) / 2, len(sections) - 1) * error
    return Interval(
        estimate=estimate,
        low=max(float(samples.min()), estimate - reach),
        high=estimate + reach,
        confidence=confidence,
        note=f"from {len(sections)} turns by sectioning, Student's t",
    )


def mean_of_turns(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """The mean of one number per turn with Student's t interval; without ends from a single turn.

    Args:
        values: at least one.
        confidence: two-sided level.
    """
    estimate = float(np.mean(values))
    if len(values) < 2:
        return Interval(estimate=estimate, low=None, high=None, confidence=confidence, note="one turn: no interval")
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    reach = student_t_quantile((1 + confidence) / 2, len(values) - 1) * error
    note = f"from {len(values)} turns, Student's t"
    return Interval(estimate=estimate, low=estimate - reach, high=estimate + reach, confidence=confidence, note=note)


def throttled(samples: Sequence[float] | np.ndarray) -> bool:
    """Whether the last third of the samples is over 10 % slower than the first, by their medians."""
    third = len(samples) // 3
    return third > 0 and bool(np.median(samples[-third:]) > _THROTTLING * np.median(samples[:third]))
