"""How fast is every artifact of a bundle on this machine, and is the machine quiet enough to say?"""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import numpy as np

from .bench_process import Worker, WorkerDiedError
from .bench_report import PLANS, ArtifactBench, BenchPlan, BenchReport, queries_for
from .bench_worker import Answer, Measure, Measured, Refused, Request, Start, Started
from .bundle import Artifact, Bundle, open_bundle
from .bundle.results import save_run
from .bundle.selection import NotRunnable, nothing_ran, select_artifacts
from .device import device_slug, load_average, temperature
from .errors import ConfigError, EdgedistillError
from .preprocess import load
from .verdicts import Judgement, judge_at_most

Progress = Callable[[str], None]


def benchmark(
    bundle: Bundle | str | Path,
    *,
    artifacts: Sequence[str] | None = None,
    preset: str | None = None,
    threads: int | None = None,
    batch_size: int = 1,
    progress: Progress | None = None,
) -> BenchReport:
    """Measure latency and memory of the artifacts, one process each, taking turns with a canary between.

    All processes live through the whole run with their models loaded, but only one computes at a time. The latency
    gate is judged on single images only. The report is appended to results/<device>.json.

    Args:
        bundle: an opened bundle, its folder or its .zip.
        artifacts: names; all by default.
        preset: "demo", "smoke", "quick" or "full"; by default the longest that a deploy config asks for.
        threads: intra-op threads of the backends, overriding the deploy configs.
        batch_size: images per inference.
        progress: called with a short text when something new begins.

    Returns:
        The report; an artifact that cannot run here, or whose process died, is in it with the reason.

    Raises:
        ConfigError: an unknown preset, or a batch size that an artifact does not take.
        BundleError: no such artifact, or none could be run and one was refused.
        MissingDependencyError: no artifact could be run here.
    """
    opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    chosen = select_artifacts(opened, artifacts)
    preset, plan = _plan(preset, chosen, batch_size)
    tell = progress or (lambda _: None)
    load_start, temperature_start = load_average(), temperature()

    runs = [_Run(artifact) for artifact in chosen]
    canary_ms: list[float] = []
    with ExitStack() as stack:
        for run in runs:
            tell(f"loading {run.artifact.name}")
            run.start(stack, opened, threads, batch_size)
        for turn in range(plan.rounds):
            for run in [run for run in runs if run.worker is not None]:
                tell(f"round {turn + 1} of {plan.rounds}: {run.artifact.name}")
                canary_ms.append(canary())
                run.take_turn(plan)
    if all(run.failure for run in runs):
        raise nothing_ran(opened, {run.artifact.name: run.failure for run in runs if run.failure})

    report = BenchReport(
        bundle=opened.manifest.name,
        manifest_sha256=opened.manifest_sha256,
        preset=preset,
        plan=plan,
        batch_size=batch_size,
        preprocess_ms=_preprocess_ms(opened),
        canary_ms=tuple(round(value, 4) for value in canary_ms),
        load_start=load_start,
        load_end=load_average(),
        temperature_start=temperature_start,
        temperature_end=temperature(),
        artifacts=tuple(run.result(batch_size) for run in runs),
        device=device_slug(),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    try:
        return msgspec.structs.replace(report, saved=str(save_run(bundle, "bench", report)))
    except EdgedistillError as error:  # a folder that cannot be written must not cost what was measured
        return msgspec.structs.replace(report, not_saved=str(error))


def canary() -> float:
    """Milliseconds of a fixed workload on all cores; it varies only when something else uses the machine."""
    matrix = np.full((384, 384), 0.5, np.float32)
    times = []
    for _ in range(11):
        begun = time.perf_counter()
        matrix @ matrix
        times.append((time.perf_counter() - begun) * 1000.0)
    return statistics.median(times[1:])


def _plan(preset: str | None, artifacts: Sequence[Artifact], batch_size: int) -> tuple[str, BenchPlan]:
    """The preset's plan, long enough to state a p95 where a gate asks for one."""
    if preset is None:
        preset = max((artifact.target.bench for artifact in artifacts), key=lambda name: PLANS[name].seconds)
    if preset not in PLANS:
        raise ConfigError(f"unknown bench preset {preset!r}: one of {', '.join(PLANS)}.")
    for artifact in artifacts:
        batch = artifact.target.batch
        if not batch.min <= batch_size <= batch.max:
            raise ConfigError(f"{artifact.name}: takes batches of {batch.min} to {batch.max} images, not {batch_size}.")
    plan = PLANS[preset]
    if batch_size == 1 and any(artifact.target.limits.max_p95_ms is not None for artifact in artifacts):
        plan = msgspec.structs.replace(plan, queries=max(plan.queries, queries_for(0.95)))
    return preset, plan


class _Run:
    """One artifact on its way through the benchmark."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self.worker: Worker | None = None
        self.failure: NotRunnable | None = None
        self.started: Started | None = None
        self.samples: list[float] = []
        self.peak_rss_bytes: int | None = None

    def start(self, stack: ExitStack, bundle: Bundle, threads: int | None, batch_size: int) -> None:
        if not self.artifact.files:
            reason = f"not in the bundle: {self.artifact.reason or 'its export failed'}"
            self.failure = NotRunnable(reason, refused=False)
            return
        self.worker = stack.enter_context(Worker())
        answer = self._ask(Start(str(bundle.root), self.artifact.name, threads, batch_size))
        if isinstance(answer, Started):
            self.started = answer
        elif isinstance(answer, Refused):
            self._give_up(NotRunnable(answer.reason, answer.refused))

    def take_turn(self, plan: BenchPlan) -> None:
        answer = self._ask(Measure(math.ceil(plan.queries / plan.rounds), plan.seconds / plan.rounds))
        if isinstance(answer, Measured):
            self.samples += answer.samples_ms
            self.peak_rss_bytes = answer.peak_rss_bytes

    def result(self, batch_size: int) -> ArtifactBench:
        artifact = self.artifact
        head = ArtifactBench(
            name=artifact.name,
            backend=artifact.backend,
            precision=artifact.precision,
            status="ran",
            bytes=artifact.size,
            sha256=artifact.files[0].sha256 if artifact.files else "",
        )
        if self.failure is not None:
            status = "failed" if self.failure.refused else "could_not_run"
            return msgspec.structs.replace(head, status=status, reason=self.failure.reason)
        assert self.started is not None
        measured = msgspec.structs.replace(
            head,
            import_ms=self.started.import_ms,
            load_ms=self.started.load_ms,
            first_ms=self.started.first_ms,
            samples_ms=tuple(self.samples),
            peak_rss_bytes=self.peak_rss_bytes,
            effective=self.started.effective,
        )
        return msgspec.structs.replace(measured, gates=_judge(artifact, measured, batch_size))

    def _ask(self, request: Request) -> Answer | None:
        assert self.worker is not None
        try:
            return self.worker.ask(request)
        except WorkerDiedError as error:
            self._give_up(NotRunnable(str(error), refused=True))
            return None

    def _give_up(self, failure: NotRunnable) -> None:
        assert self.worker is not None
        self.failure = failure
        self.worker.close()  # its memory is wanted by the others
        self.worker = None


def _judge(artifact: Artifact, measured: ArtifactBench, batch_size: int) -> tuple[Judgement, ...]:
    limit = artifact.target.limits.max_p95_ms
    if limit is None or batch_size != 1:
        return ()
    return (judge_at_most("max_p95_ms", measured.p95_ms, limit, what="p95 latency", unit="ms"),)


def _preprocess_ms(bundle: Bundle) -> float | None:
    if not bundle.manifest.selftest:
        return None
    encoded = bundle.read(bundle.manifest.selftest[0].file)
    times = []
    for _ in range(7):
        begun = time.perf_counter()
        load(encoded, bundle.manifest.preprocessing)
        times.append((time.perf_counter() - begun) * 1000.0)
    return statistics.median(times)
