"""An estimate with its confidence interval."""

from .record import Record


class Interval(Record):
    """An estimate with its confidence interval; None where nothing can be said (no positives, a single value).

    Attributes:
        estimate: the value on the data itself.
        low: lower end.
        high: upper end.
        confidence: two-sided level, e.g. 0.95.
        method: how it was made, e.g. "jackknife over images"; empty where there is none.
        resamples: of the bootstrap behind it; 0 where there was none.
        note: why there is no interval, or how far it can be trusted; empty where there is nothing to say.
    """

    estimate: float | None
    low: float | None
    high: float | None
    confidence: float
    method: str = ""
    resamples: int = 0
    note: str = ""
