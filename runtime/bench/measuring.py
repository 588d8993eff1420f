"""Inside the measured process: one inference after the other, watched by the canary and the system's counters."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from .canary import Canary
from .machine import read_interference
from .messages import Measure, Measured

Infer: TypeAlias = Callable[[], Any]  # one inference, of a batch that is in memory already

_SETTLE = 3
_CANARY_EVERY_MS = 50.0
_SHORT_MS = 5.0


class Watch:
    """From its making to `done`: what happened to this process meanwhile."""

    def __init__(self) -> None:
        self._canary = Canary()
        self._begun, self._before = time.perf_counter(), read_interference()
        self.burst()

    def burst(self) -> None:
        """Some milliseconds of the canary."""
        self._canary.burst()

    def done(self, samples_ms: list[float], *, inferences_per_s: float | None = None) -> Measured:
        """The answer for what was measured meanwhile."""
        self.burst()
        switches, waited = read_interference().since(self._before)
        mean, floor = self._canary.take()
        return Measured(
            samples_ms=samples_ms,
            canary_ms=mean,
            canary_floor_ms=floor,
            seconds=time.perf_counter() - self._begun,
            switches=switches,
            waited_s=waited,
            peak_rss_bytes=peak_rss(),
            inferences_per_s=inferences_per_s,
        )


def measure(infer: Infer, turn: Measure) -> Measured:
    """Infer until both minimums of the turn are met, with the canary before, between and after.

    The first inferences are left out, since between two turns another process had the caches; so is the one after the
    canary, where inferences are so short that it might be felt.
    """
    settle(infer)
    watch = Watch()
    samples: list[float] = []
    spent = since_canary = 0.0
    while len(samples) < turn.queries or spent < 1000.0 * turn.seconds:
        sample = timed(infer)[0]
        samples.append(round(sample, 4))
        spent += sample
        since_canary += sample
        if since_canary >= _CANARY_EVERY_MS:
            watch.burst()
            since_canary = 0.0
            if sample < _SHORT_MS:
                infer()
    return watch.done(samples)


def settle(infer: Infer) -> None:
    """The inferences that are left out."""
    for _ in range(_SETTLE):
        infer()


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds that a call took, and what it returned."""
    begun = time.perf_counter()
    result = function()
    return (time.perf_counter() - begun) * 1000.0, result


def peak_rss() -> int | None:
    """The largest resident memory of this process in bytes; None where the system does not tell.

    Linux's ru_maxrss starts at the parent's size when the child is made by vfork, so VmHWM is read first.
    """
    try:
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS, the Unix without /proc
