"""A tiny fixed work, done again and again between the inferences: it takes longer when something else uses the core.

A process that others compete with computes at full speed for a few milliseconds and then waits for a few, so that most
repetitions of a work of 20 to 200 microseconds take their usual time and a few take a hundred times as long. Hence the
mean is looked at, which grows with the share of time that was lost, and compared with the shortest repetition, which
is nearly undisturbed even on a busy machine.
"""

import hashlib
import time

_WORK = bytes(32 * 1024)  # fits into every core's own cache: it measures the core's share, and leaves the model cached
_BURST_SECONDS = 0.004  # about a scheduler's time slice
_MOST_REPETITIONS = 400
_CALIBRATION = 50


class Canary:
    """Runs the work in bursts and remembers what they took since it was last asked."""

    def __init__(self) -> None:
        floor = min(_repetition() for _ in range(_CALIBRATION))
        self._repetitions = max(2, min(_MOST_REPETITIONS, round(_BURST_SECONDS / floor)))
        self._times: list[float] = []

    def burst(self) -> None:
        """Some milliseconds of the work, the same number of repetitions each time."""
        self._times += [_repetition() for _ in range(self._repetitions)]

    def take(self) -> tuple[float, float]:
        """Mean and least milliseconds of a repetition since the last call; there must have been a burst."""
        times, self._times = self._times, []
        return 1000.0 * sum(times) / len(times), 1000.0 * min(times)


def _repetition() -> float:
    begun = time.perf_counter()
    hashlib.sha256(_WORK).digest()
    return time.perf_counter() - begun
