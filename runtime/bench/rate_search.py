"""The highest rate at which p99 stays within a limit: a search over trials, each of which costs seconds."""

import math
from collections.abc import Callable, Iterator

from .figures import Trial

RESOLUTION = 0.03  # the answer is within this share of the rate that would just fail
_LOWEST = 1 / 32  # of the capacity: where not even this passes, the limit is below what one inference takes
_GROWTH = 1.25
_MOST_GROWTHS = 4
_CONFIRMATIONS = 4  # of a rate, with other arrivals, each a step lower

Try = Callable[[float, int], Trial]  # a rate in images a second and a seed of the arrivals


class RateSearch:
    """Finds the rate and keeps every trial.

    A rate passes or fails by its own arrivals: by luck one that is slightly too high may pass. Hence the highest that
    passed is tried again with other arrivals, and lowered until they pass too.

    Args:
        attempt: tries one rate.
        capacity: images a second that all streams together answer when they are kept busy: beyond it the queue only
            grows, and below it the waiting decides.

    Attributes:
        trials: in order.
    """

    def __init__(self, attempt: Try, capacity: float) -> None:
        self.trials: list[Trial] = []
        self._attempt = attempt
        self._capacity = capacity

    def highest(self) -> Trial | None:
        """The confirming trial of the highest rate that met the limit; None where none did."""
        low, high = self._bracket()
        if low is None:
            return None
        while high / low > 1 + RESOLUTION:
            middle = math.sqrt(low * high)
            low, high = (middle, high) if self._passes(middle) else (low, middle)
        for rate in self._falling(low):
            if self._passes(rate):
                return self.trials[-1]
        return None

    def _bracket(self) -> tuple[float | None, float]:
        """A rate that passes, or None, and a higher one that fails or is beyond all that is asked for."""
        if not self._passes(self._capacity):
            low = self._capacity * _LOWEST
            return (low if self._passes(low) else None), self._capacity
        low = self._capacity
        for _ in range(_MOST_GROWTHS):  # a loose limit on few images: the queue has no time to grow
            if not self._passes(low * _GROWTH):
                break
            low *= _GROWTH
        return low, low * _GROWTH

    def _falling(self, rate: float) -> Iterator[float]:
        for step in range(_CONFIRMATIONS):
            yield rate / (1 + RESOLUTION) ** step

    def _passes(self, rate: float) -> bool:
        trial = self._attempt(rate, len(self.trials))
        self.trials.append(trial)
        return trial.met
