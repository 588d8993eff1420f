"""What is said of a judged thing: one vocabulary for tables, JSON, reports and exit codes."""

from collections.abc import Iterable
from typing import Literal

from .interval import Interval
from .record import Record

Verdict = Literal["passed", "failed", "undecided", "not judged", "could not run"]

# The worst first: what a whole report says is the first of these that one of its parts says. "could not run" comes
# last, since an artifact for another device says nothing about those that ran here.
_WORST_FIRST: tuple[Verdict, ...] = ("failed", "undecided", "not judged", "passed", "could not run")

# 2 is a mistake in what was asked, 3 something that is missing here, 130 an interruption: see `errors`.
EXIT_CODES: dict[Verdict, int] = {"passed": 0, "failed": 1, "could not run": 3, "undecided": 4, "not judged": 5}


class Judgement(Record):
    """One gate of a deploy config held against one measurement.

    Attributes:
        name: the gate's key in the deploy config, e.g. "max_p95_ms".
        observed: the measured value in the gate's unit; None when it could not be determined.
        limit: the allowed maximum, in the same unit; None for a gate that this version does not know.
        verdict: "passed", "failed", "undecided" (the evidence does not tell) or "not judged" (an unknown gate).
        sentence: for people: what was found, against which limit, and what would settle it.
    """

    name: str
    observed: float | None
    limit: float | None
    verdict: Verdict
    sentence: str

    @property
    def passed(self) -> bool:
        return self.verdict == "passed"


def overall(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict on the whole from those on its parts; "not judged" where there is none."""
    said = set(verdicts)
    return next((verdict for verdict in _WORST_FIRST if verdict in said), "not judged")


def judge_at_most(
    name: str,
    observed: float | Interval | None,
    limit: float,
    *,
    what: str,
    unit: str,
    doubt: str = "",
    more: str = "",
) -> Judgement:
    """Judge "at most `limit`".

    A number is held against the limit as it is. An interval passes when all of it is within the limit, fails when all
    of it is above, and is undecided when it straddles the limit or has no ends.

    Args:
        name: the gate's key.
        observed: the measured value or interval; None when there is not enough evidence for one.
        limit: the allowed maximum.
        what: the measured thing, e.g. "p95 latency".
        unit: printed after the numbers, e.g. "ms".
        doubt: why the measurement cannot be believed, e.g. that the machine was disturbed: then nothing is decided.
        more: what would settle an undecided case, e.g. "about 1,200 more images would tell".
    """
    allowed = f"{limit:g} {unit}".strip()
    if isinstance(observed, Interval):
        interval, value, low, high = observed, observed.estimate, observed.low, observed.high
    else:
        interval, value, low, high = None, observed, observed, observed
    found = _found(value, interval, unit)
    verdict: Verdict
    if doubt or low is None or high is None:
        reason = doubt or (interval.note if interval is not None else "") or "not enough evidence"
        verdict, text = "undecided", f"{what} {found}, limit {allowed}: {reason}"
    elif high <= limit:
        verdict, text = "passed", f"{what} {found}, within {allowed}"
    elif low > limit:
        verdict, text = "failed", f"{what} {found}, above {allowed}"
    else:
        verdict, text = "undecided", f"{what} {found} straddles the limit of {allowed}"
    if verdict == "undecided" and more:
        text = f"{text}; {more}"
    return Judgement(name=name, observed=value, limit=limit, verdict=verdict, sentence=f"{text}.")


def _found(value: float | None, interval: Interval | None, unit: str) -> str:
    if value is None:
        return "not measured"
    text = f"{value:.4g} {unit}".rstrip()
    if interval is None or interval.low is None or interval.high is None:
        return text
    return f"{text} [{interval.low:.4g}, {interval.high:.4g}]"
