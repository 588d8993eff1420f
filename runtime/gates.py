"""A judged limit as a value: what was observed, what was allowed, and one sentence about it."""

from .bundle import Record


class Judgement(Record):
    """One gate of a deploy config held against one measurement.

    Attributes:
        name: the gate's key in the deploy config, e.g. "max_p95_ms".
        observed: the measured value in the gate's unit; None when it could not be determined, which fails.
        limit: the allowed maximum, in the same unit.
        passed: whether the gate is met.
        sentence: for people: what was found, against which limit, and why it failed if it did.
    """

    name: str
    observed: float | None
    limit: float
    passed: bool
    sentence: str


def judge_maximum(name: str, observed: float | None, limit: float, *, what: str, unit: str) -> Judgement:
    """Judge "at most `limit`".

    Args:
        name: the gate's key.
        observed: the measured value, or None when there is not enough evidence for one.
        limit: the allowed maximum.
        what: the measured thing, e.g. "p95 latency".
        unit: printed after the numbers, e.g. "ms".
    """
    allowed = f"{limit:g} {unit}".strip()
    if observed is None:
        return Judgement(
            name=name, observed=None, limit=limit, passed=False, sentence=f"{what}: not measured, limit {allowed}."
        )
    passed = observed <= limit
    sentence = f"{what} {observed:.4g} {unit}".rstrip() + (f", within {allowed}." if passed else f", above {allowed}.")
    return Judgement(name=name, observed=observed, limit=limit, passed=passed, sentence=sentence)
