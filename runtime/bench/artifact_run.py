"""One artifact on its way through a benchmark's rounds: its process, its turns, and how it ends."""

import os
from contextlib import ExitStack

import msgspec
import numpy as np

from ..backends.base import BACKENDS
from ..bundle import Artifact, Bundle
from ..bundle.selection import NotRunnable, missing_files, not_runnable
from ..device import load_average
from ..verdicts import Judgement, judge_at_most
from .disturbance import disturbance, judge_turns
from .machine import read_cpu_time, shares
from .messages import Answer, Measure, Measured, Refused, Request, Start, Started
from .plan import BenchPlan
from .process import Worker, WorkerLostError
from .report import ArtifactBench, split_samples
from .statistics import summarise
from .turn import Evidence, Turn

START_SECONDS = 600.0  # some devices compile a network for minutes when they load it
TURN_SECONDS = 60.0
_PATIENCE = 20.0  # so many times longer than expected may a turn take: a busy machine, a hot device
_WARM_UP = Measure(queries=10, seconds=0.5)


class ArtifactRun:
    """One artifact of a benchmark.

    Args:
        bundle: where its files are.
        artifact: which it is.
        threads: intra-op threads; None leaves the deploy config's.
        device: the backend's device word; None leaves the deploy config's.
        batch_size: images per inference.
        size: height and width for a graph that leaves them open.
    """

    def __init__(
        self,
        bundle: Bundle,
        artifact: Artifact,
        *,
        threads: int | None,
        device: str | None,
        batch_size: int,
        size: tuple[int, int] | None = None,
    ) -> None:
        self.bundle, self.artifact = bundle, artifact
        self.threads, self.device, self.batch_size, self.size = threads, device, batch_size, size
        self.failure: NotRunnable | None = None
        self.worker: Worker | None = None
        self._stack = ExitStack()
        self._started: Started | None = None
        self._turns: list[Turn] = []
        self._samples: list[list[float]] = []
        self._peak_rss_bytes: int | None = None
        self._inference_seconds = 0.0
        if absent := missing_files(artifact):
            self.failure = not_runnable(artifact.name, absent)

    def start(self) -> None:
        """Start its process, load the artifact and warm it up; sets `failure` when it does not run."""
        if self.failure is not None or self.worker is not None:
            return
        self.worker = self._stack.enter_context(Worker())
        answer = self._ask(self._opening(), START_SECONDS, "loading")
        if isinstance(answer, Refused):
            self._give_up(NotRunnable(answer.reason, answer.refused))
        elif isinstance(answer, Started):
            self._started = self._started or answer
            self._inference_seconds = answer.first_ms / 1000.0
            warm = self._ask(_WARM_UP, self._limit(_WARM_UP), "warming up")
            if isinstance(warm, Measured):
                self._inference_seconds = float(np.median(warm.samples_ms)) / 1000.0

    def take_turn(self, number: int, plan: BenchPlan, own: list[int]) -> None:
        """Measure one turn in its process, watched.

        Args:
            number: the round's, from 1.
            plan: how much to measure.
            own: the benchmark's processes, whose computing is not other people's.
        """
        turn = Measure(plan.queries_per_turn, plan.seconds_per_turn)
        before = read_cpu_time(own)
        answer = self._ask(turn, self._limit(turn), f"measuring round {number}")
        if not isinstance(answer, Measured):
            return
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
            round=number, samples=len(answer.samples_ms), p50_ms=float(p50), p90_ms=float(p90), evidence=evidence
        )
        self._turns.append(made)
        self._samples.append(answer.samples_ms)
        self._peak_rss_bytes = max(self._peak_rss_bytes or 0, answer.peak_rss_bytes or 0) or None

    def end(self) -> None:
        """End its process, which frees its memory."""
        self._stack.close()
        self.worker = None

    def wants_a_turn(self, number: int, plan: BenchPlan) -> bool:
        """Whether round `number` (from 1) has a turn of it: the planned ones, then as many as were disturbed."""
        if self.failure is not None:
            return False
        return number <= plan.rounds or sum(turn.quiet for turn in judge_turns(self._turns)) < plan.rounds

    def result(self, plan: BenchPlan, rounds: int) -> ArtifactBench:
        """What was measured in the first `rounds` rounds, judged."""
        head = ArtifactBench(
            name=self.artifact.name,
            backend=self.artifact.backend,
            precision=self.artifact.precision,
            status="ran",
            bytes=self.artifact.size,
            sha256=self.artifact.files[0].sha256 if self.artifact.files else "",
        )
        if self.failure is not None:
            status = "failed" if self.failure.refused else "could_not_run"
            return msgspec.structs.replace(head, status=status, reason=self.failure.reason)
        assert self._started is not None
        turns = judge_turns([turn for turn in self._turns if turn.round <= rounds])
        samples = tuple(value for values in self._samples[: len(turns)] for value in values)
        planned = min(rounds, plan.rounds)
        disturbed = disturbance(turns, planned, planned * plan.queries_per_turn)
        measured = msgspec.structs.replace(
            head,
            import_ms=self._started.import_ms,
            load_ms=self._started.load_ms,
            first_ms=self._started.first_ms,
            latency=summarise(_counted(turns, samples, everything=bool(disturbed))),
            turns=turns,
            samples_ms=samples,
            disturbed=disturbed,
            peak_rss_bytes=self._peak_rss_bytes,
            effective=self._started.effective,
        )
        return msgspec.structs.replace(measured, gates=_judge(self.artifact, measured, self.batch_size))

    def _opening(self) -> Start:
        loose = self.bundle.is_model_file
        return Start(
            source=os.fsencode(self.bundle.root),
            identity=self.bundle.manifest_sha256,
            artifact=self.artifact.name,
            backend=self.artifact.backend if loose else None,
            precision=self.artifact.precision if loose and _chooses(self.artifact.backend) else None,
            device=self.device,
            threads=self.threads,
            batch_size=self.batch_size,
            size=self.size,
        )

    def _limit(self, turn: Measure) -> float:
        """Seconds after which a turn is given up, by what an inference took so far."""
        return TURN_SECONDS + _PATIENCE * (turn.seconds + turn.queries * self._inference_seconds)

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


def _counted(turns: tuple[Turn, ...], samples: tuple[float, ...], *, everything: bool) -> list[tuple[float, ...]]:
    """The samples that make the statistics, by turn: the quiet turns', or all of them."""
    by_turn = split_samples(turns, samples)
    return [values for turn, values in zip(turns, by_turn, strict=True) if everything or turn.quiet]


def _judge(artifact: Artifact, measured: ArtifactBench, batch_size: int) -> tuple[Judgement, ...]:
    limit = artifact.target.limits.max_p95_ms
    if limit is None or batch_size != 1 or measured.latency is None:
        return ()
    return (
        judge_at_most(
            "max_p95_ms",
            measured.latency.p95,
            limit,
            what="p95 latency",
            unit="ms",
            doubt=measured.disturbed,
            more="measure on a quiet machine" if measured.disturbed else "a longer preset would tell",
        ),
    )
