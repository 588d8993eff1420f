"""Who measures when: the artifacts in turns, or one search after the other; and what is complete when it is ended."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import NamedTuple, Protocol

from ..bundle.selection import NotRunnable
from .artifact_run import ArtifactRun
from .plan import BenchPlan
from .server_run import search_rate

Progress = Callable[[str], None]
_REPEATS = 15


class Photo(NamedTuple):
    """A photograph whose way to labels is timed.

    Attributes:
        name: for people.
        encoded: the file's content.
    """

    name: str
    encoded: bytes


class Schedule(Protocol):
    """Leads the artifacts through a benchmark.

    Attributes:
        done: rounds that are complete; what is not is left out of the report.
    """

    done: int

    def measure(self) -> None:
        """Everything; all processes have ended after it, however it ends."""
        ...


class Rounds:
    """The artifacts take turns, round by round, until enough turns were quiet.

    Args:
        runs: the artifacts.
        plan: how much to measure.
        one_at_a_time: end each artifact's process after its turn.
        photograph: gives the one that is timed at the end, or None.
        tell: called with a short text when something new begins.
    """

    def __init__(
        self,
        runs: Sequence[ArtifactRun],
        plan: BenchPlan,
        *,
        one_at_a_time: bool,
        photograph: Callable[[], Photo | None],
        tell: Progress,
    ) -> None:
        self.runs, self.plan, self.one_at_a_time = runs, plan, one_at_a_time
        self.photograph, self.tell = photograph, tell
        self.done = 0

    def measure(self) -> None:
        """All rounds, and the photograph: where processes live on, after what their memory is measured in."""
        with ExitStack() as stack:
            for run in self.runs:
                stack.callback(run.end)
            if not self.one_at_a_time:
                for run in self.runs:
                    self._load(run)
            for number in range(1, self.plan.most_rounds + 1):
                turn = [run for run in self.runs if run.wants_a_turn(number, self.plan)]
                if not turn:
                    break
                first = (number - 1) % len(turn)
                for run in (*turn[first:], *turn[:first]):  # what follows upon what differs from round to round
                    self._take_turn(run, number)
                self.done = number
            if not self.one_at_a_time:
                for run in self.runs:
                    self._time_photograph(run)

    def _load(self, run: ArtifactRun) -> None:
        if run.failure is None and run.worker is None:
            self.tell(f"loading {run.name}")
            run.start()

    def _take_turn(self, run: ArtifactRun, number: int) -> None:
        if self.plan.begins_process(number):
            run.end()
        self._load(run)
        planned = number <= self.plan.rounds
        which = f"of {self.plan.rounds}" if planned else f"({self.plan.rounds} were planned), disturbed turns again"
        if run.worker is not None:
            self.tell(f"round {number} {which}: {run.name}")
            run.take_turn(number, self.plan, [other.worker.pid for other in self.runs if other.worker is not None])
        if self.one_at_a_time:
            if number == self.plan.rounds:
                self._time_photograph(run)
            run.end()

    def _time_photograph(self, run: ArtifactRun) -> None:
        if run.failure is None and (photo := self.photograph()) is not None:
            self.tell(f"one photograph from its bytes to its labels: {run.name}")
            run.time_photograph(photo.name, photo.encoded, _REPEATS)


class Searches:
    """One artifact's search for its highest rate after the other's.

    Args:
        runs: the artifacts.
        plan: how much to measure.
        max_p99_ms: the limit of p99.
        tell: called with a short text when something new begins.
    """

    def __init__(self, runs: Sequence[ArtifactRun], plan: BenchPlan, *, max_p99_ms: float, tell: Progress) -> None:
        self.runs, self.plan, self.max_p99_ms, self.tell = runs, plan, max_p99_ms, tell
        self.done = 0

    def measure(self) -> None:
        """Every search. What is complete when it is interrupted is one round; what is not could not run."""
        try:
            for run in self.runs:
                self._search(run)
        finally:
            for run in self.runs:
                if run.server is None and run.failure is None:
                    run.failure = NotRunnable("its search was interrupted", refused=False)
            self.done = int(any(run.server is not None for run in self.runs))

    def _search(self, run: ArtifactRun) -> None:
        try:
            if run.failure is None:
                self.tell(f"loading {run.name}")
                run.start()
            if run.worker is not None:
                search_rate(run, self.plan, self.max_p99_ms, [run.worker.pid], self.tell)
        finally:
            run.end()
