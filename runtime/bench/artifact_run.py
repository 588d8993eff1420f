"""One artifact on its way through a benchmark: its processes, its turns, and how it ends."""

import os
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext

import msgspec
import numpy as np

from ..backends.base import BACKENDS
from ..bundle import Artifact, Bundle
from ..bundle.selection import NotRunnable, missing_files, not_runnable
from ..device import load_average
from ..targets import Gates
from .disturbance import COUNTERS_ALONE, judge_turns
from .energy import Meter, Power
from .entry import ArtifactMeasurements, describe
from .figures import Server, Spans
from .gates import judge_limits
from .machine import read_cpu_time, shares
from .messages import (
    Answer,
    Measure,
    Measured,
    Photograph,
    Refused,
    Request,
    Saturate,
    Serve,
    Start,
    Started,
    Task,
    Timed,
)
from .plan import BenchPlan
from .process import Worker, WorkerLostError
from .report import ArtifactBench
from .scenarios import Setting
from .turn import Evidence, Turn

START_SECONDS = 600.0  # some devices compile a network for minutes when they load it
TURN_SECONDS = 60.0
_PATIENCE = 20.0  # so many times longer than expected may a turn take: a busy machine, a hot device
_WARM_UP = Measure(queries=10, seconds=0.5)


class ArtifactRun:
    """One artifact of a benchmark, in one setting.

    Args:
        bundle: where its files are.
        artifact: which it is.
        setting: how it is measured.
        limits: its gates.
        meter: the machine's power counter; None without one.
    """

    def __init__(
        self, bundle: Bundle, artifact: Artifact, setting: Setting, limits: Gates, meter: Meter | None = None
    ) -> None:
        self.bundle, self.artifact, self.setting, self.limits = bundle, artifact, setting, limits
        self.name = f"{artifact.name} ({setting.label})" if setting.label else artifact.name
        self.failure: NotRunnable | None = None
        self.worker: Worker | None = None
        self.server: Server | None = None
        self._meter = meter
        self._stack = ExitStack()
        self._started: list[Started] = []
        self._turns: list[Turn] = []
        self._samples: list[list[float]] = []
        self._peak_rss_bytes: int | None = None
        self._spans: Spans | None = None
        self._inference_seconds = 0.0
        if absent := missing_files(artifact):
            self.failure = not_runnable(artifact.name, absent)

    def start(self) -> None:
        """Start a process, load the artifact and warm it up; sets `failure` when it does not run."""
        if self.failure is not None or self.worker is not None:
            return
        self.worker = self._stack.enter_context(Worker())
        answer = self._ask(self._opening(), START_SECONDS * self.setting.streams, "loading")
        if isinstance(answer, Refused):
            self._give_up(NotRunnable(answer.reason, answer.refused))
        elif isinstance(answer, Started):
            self._started.append(answer)
            self._inference_seconds = answer.first_ms / 1000.0
            if (warm := self.measured(_WARM_UP, "warming up")) is not None:
                self._inference_seconds = float(np.median(warm.samples_ms)) / 1000.0

    def take_turn(self, number: int, plan: BenchPlan, own: list[int]) -> None:
        """Measure one turn in its process, watched.

        Args:
            number: the round's, from 1.
            plan: how much to measure.
            own: the benchmark's processes, whose computing is not other people's.
        """
        several = self.setting.scenario == "throughput"
        task = (Saturate if several else Measure)(plan.queries_per_turn, plan.seconds_per_turn)
        with nullcontext(Power()) if self._meter is None else self._meter.measuring() as power:
            answer = self.watched(number, task, own, f"measuring round {number}")
        if answer is not None and power.watts is not None:
            self._turns[-1] = msgspec.structs.replace(self._turns[-1], watts=power.watts)

    def watched(self, number: int, task: Task, own: list[int], doing: str) -> Measured | None:
        """Have the process do something, watch the machine meanwhile, and keep it as a turn; None where it was lost."""
        before = read_cpu_time(own)
        answer = self.measured(task, doing)
        if answer is None:
            return None
        taken = shares(before, read_cpu_time(own))
        load = load_average()
        evidence = Evidence(
            seconds=round(answer.seconds, 4),
            canary_ms=round(answer.canary_ms, 6),
            canary_floor_ms=round(answer.canary_floor_ms, 6),
            steal=None if taken is None else round(taken.steal, 4),
            others=None if taken is None else round(taken.others, 4),
            switches=None if answer.switches is None else round(answer.switches / answer.seconds, 2),
            waited=None if answer.waited_s is None else round(answer.waited_s / answer.seconds, 4),
            load=load[0] if load else None,
        )
        p50, p90 = np.quantile(answer.samples_ms, [0.5, 0.9]).round(4)
        made = Turn(
            round=number,
            samples=len(answer.samples_ms),
            p50_ms=float(p50),
            p90_ms=float(p90),
            evidence=evidence,
            process=len(self._started),
            inferences_per_s=answer.inferences_per_s,
        )
        self._turns.append(made)
        self._samples.append(answer.samples_ms)
        self._peak_rss_bytes = max(self._peak_rss_bytes or 0, answer.peak_rss_bytes or 0) or None
        return answer

    def measured(self, task: Task, doing: str) -> Measured | None:
        """Have the process do something, and keep nothing of it; None where it was lost."""
        answer = self._ask(task, self._limit(task), doing)
        return answer if isinstance(answer, Measured) else None

    def time_photograph(self, name: str, encoded: bytes, repeats: int) -> None:
        """Time a photograph's way through it; what fails here costs nothing that was measured."""
        if self.failure is not None:
            return
        self.start()
        if self.worker is not None:
            seconds = TURN_SECONDS + _PATIENCE * repeats
            answer = self._ask(Photograph(encoded, repeats), seconds, "timing a photograph")
            if isinstance(answer, Timed):
                steps = msgspec.structs.asdict(answer)
                self._spans = Spans(photo=name, bytes=len(encoded), repeats=repeats, **steps)
        self.failure = None

    def end(self) -> None:
        """End its process, which frees its memory."""
        self._stack.close()
        self.worker = None

    def wants_a_turn(self, number: int, plan: BenchPlan) -> bool:
        """Whether round `number` (from 1) has a turn of it: the planned ones, then as many as were disturbed."""
        if self.failure is not None:
            return False
        return number <= plan.rounds or sum(turn.quiet for turn in self._judged(self._turns)) < plan.rounds

    def result(self, plan: BenchPlan, rounds: int) -> ArtifactBench:
        """What was measured in the first `rounds` rounds, judged."""
        complete = len(self._turns) if self.server is not None else rounds  # its turns are trials, of one round
        turns = self._judged([turn for turn in self._turns if turn.round <= complete])
        samples = tuple(value for values in self._samples[: len(turns)] for value in values)
        found = ArtifactMeasurements(
            started=tuple(self._started),
            turns=turns,
            samples_ms=samples,
            peak_rss_bytes=self._peak_rss_bytes,
            spans=self._spans,
            server=self.server,
            power_source=None if self._meter is None else self._meter.source,
        )
        entry = describe(self.artifact, self.setting, self.failure or found, name=self.name, plan=plan, rounds=rounds)
        return entry if self.failure else msgspec.structs.replace(entry, gates=judge_limits(self.limits, entry))

    def _judged(self, turns: Sequence[Turn]) -> tuple[Turn, ...]:
        # At another rate the latencies are others, whoever else computes.
        return judge_turns(turns) if self.server is None else judge_turns(turns, COUNTERS_ALONE)

    def _opening(self) -> Start:
        loose = self.bundle.is_model_file
        return Start(
            source=os.fsencode(self.bundle.root),
            identity=self.bundle.manifest_sha256,
            artifact=self.artifact.name,
            backend=self.artifact.backend if loose else None,
            precision=self.artifact.precision if loose and _chooses(self.artifact.backend) else None,
            device=self.setting.device,
            threads=self.setting.threads,
            batch_size=self.setting.batch_size,
            size=self.setting.size,
            streams=self.setting.streams,
        )

    def _limit(self, task: Task) -> float:
        """Seconds after which a task is given up, by what an inference took so far."""
        planned = task.queries / task.rate if isinstance(task, Serve) else task.seconds
        return TURN_SECONDS + _PATIENCE * (planned + task.queries * self._inference_seconds)

    def _ask(self, request: Request, seconds: float, doing: str) -> Answer | None:
        assert self.worker is not None
        try:
            return self.worker.ask(request, seconds=seconds, doing=doing)
        except WorkerLostError as error:
            self._give_up(NotRunnable(str(error), refused=True))
            return None

    def _give_up(self, failure: NotRunnable) -> None:
        self.failure = failure
        self.end()  # its memory is wanted by the others


def _chooses(backend: str) -> bool:
    """Whether the backend can be asked for a precision, so that a model file is not taken as it is."""
    kind = BACKENDS.find(backend)
    return kind is not None and bool(kind.hints)
