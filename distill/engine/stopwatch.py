"""Where the time of a step goes, without making a GPU wait for the clock."""

import time
from collections import defaultdict
from typing import Any

import torch

PHASES = ("data", "teacher", "student", "loss", "update")
"""data: waiting for the batch; student: forward and backward; loss: the terms, without their backward; update: the
optimiser and the moving average."""


class Stopwatch:
    """Adds up seconds per phase: by the wall clock, or on a GPU by events in its stream.

    An event that comes late because the GPU had nothing to do counts the idle time to the phase that caused it.
    """

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._seconds: dict[str, float] = defaultdict(float)
        self._pending: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []
        self._last: Any = self._now()  # seconds, or a GPU's event

    def reset(self, seconds: dict[str, float]) -> None:
        """Go on from `seconds`; what happened since the last lap belongs to no phase."""
        self._settle()
        self._seconds = defaultdict(float, seconds)
        self._last = self._now()

    def lap(self, phase: str) -> None:
        """The time since the last call belongs to `phase`."""
        now: Any = self._now()
        if self._cuda:
            self._pending.append((phase, self._last, now))
        else:
            self._seconds[phase] += now - self._last
        self._last = now

    @property
    def seconds(self) -> dict[str, float]:
        """Per phase, of all laps that a GPU has finished."""
        self._settle()
        return {phase: self._seconds[phase] for phase in PHASES if phase in self._seconds}

    def _now(self) -> "float | torch.cuda.Event":
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _settle(self) -> None:
        """A lap whose end the GPU has not reached yet stays for the next time."""
        while self._pending and self._pending[0][2].query():
            phase, begin, end = self._pending.pop(0)
            self._seconds[phase] += begin.elapsed_time(end) / 1000.0
