"""The whole measurement: every artifact in turn, round by round, until enough turns were quiet."""

import logging
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path

from ..bundle import Bundle, save_or_say
from ..bundle.loose import open_source
from ..bundle.selection import nothing_ran, select_artifacts
from ..device import device_slug, load_average, temperature
from ..errors import EdgedistillError, InterruptedRunError
from ..preprocess import load
from ..targets import check_threads
from .artifact_run import ArtifactRun
from .plan import BenchPlan, choose_plan, choose_size
from .report import BenchInterruptedError, BenchReport

Progress = Callable[[str], None]

_log = logging.getLogger("edgedistill")


def benchmark(
    bundle: Bundle | str | Path,
    *,
    artifacts: Sequence[str] | None = None,
    backend: str | None = None,
    precision: str | None = None,
    preset: str | None = None,
    threads: int | None = None,
    device: str | None = None,
    batch_size: int = 1,
    size: int | tuple[int, int] | None = None,
    one_at_a_time: bool = False,
    progress: Progress | None = None,
    require_signature: str | Path | None = None,
) -> BenchReport:
    """Measure latency and memory of the artifacts, one process each, in turns that are watched for disturbance.

    Only one process computes at a time; their order rotates from round to round. Turns that something else disturbed
    are measured again, in half as many rounds again at most; then they are marked. Where enough turns were quiet only
    those count, else all do and the artifact says that it was disturbed, and no gate is judged on it. The latency gate
    is judged on single images only. The report is saved below the bundle's results/. docs/bench.md says more.

    Args:
        bundle: an opened bundle, its folder or its .zip; or a model file alone, whatever it computes.
        artifacts: names; all that match by default.
        backend: only this backend's; of a model file, what opens it.
        precision: only this precision's; of a model file, what to ask of a backend that chooses.
        preset: "demo", "smoke", "quick" or "full"; by default the longest that a deploy config asks for.
        threads: intra-op threads of the backends, overriding the deploy configs.
        device: the backends' device word, overriding the deploy configs.
        batch_size: images per inference.
        size: of a model file whose graph takes any: height and width in pixels, or the side of a square.
        one_at_a_time: load the artifact anew for each of its turns and end it after, so that no two are in memory;
            for devices that cannot hold all of them.
        progress: called with a short text when something new begins.
        require_signature: the public key (a file, or `ed25519:...`) that must have signed the bundle.

    Returns:
        The report; an artifact that cannot run here, or whose process was lost, is in it with the reason.

    Raises:
        ConfigError: an unknown preset, a batch size that an artifact does not take, an impossible number of threads, no
            size or one for a bundle.
        BundleError: not signed by that key, no such artifact, or none could be run and one was refused.
        MissingDependencyError: no artifact could be run here.
        InterruptedRunError: Ctrl-C; after the first round a BenchInterruptedError with the report of the complete
            rounds, which is saved.
    """
    check_threads(threads)
    opened = open_source(bundle, backend=backend, precision=precision, require_signature=require_signature)
    sides = choose_size(size, opened)
    chosen = select_artifacts(opened, artifacts, backend, precision)
    preset, plan = choose_plan(preset, chosen, batch_size)
    load_start, temperature_start = load_average(), temperature()

    runs = [
        ArtifactRun(opened, one, threads=threads, device=device, batch_size=batch_size, size=sides) for one in chosen
    ]
    rounds = _Rounds(runs, plan, one_at_a_time=one_at_a_time, tell=progress or (lambda _: None))
    interrupted = False
    try:
        rounds.measure()
    except KeyboardInterrupt:
        interrupted = True
    if interrupted and not rounds.done:
        raise InterruptedRunError("interrupted before the first round was complete: nothing was measured yet.")
    if all(run.failure for run in runs):
        raise nothing_ran(opened, {run.artifact.name: run.failure for run in runs if run.failure})

    report = BenchReport(
        bundle=opened.manifest.name,
        manifest_sha256=opened.manifest_sha256,
        preset=preset,
        plan=plan,
        rounds=rounds.done,
        interrupted=interrupted,
        one_at_a_time=one_at_a_time,
        batch_size=batch_size,
        size=sides,
        preprocess_ms=None if interrupted else _preprocess_ms(opened),
        load_start=load_start,
        load_end=load_average(),
        temperature_start=temperature_start,
        temperature_end=temperature(),
        artifacts=tuple(run.result(plan, rounds.done) for run in runs),
        device=device_slug(),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    report = save_or_say(bundle, "bench", report, stored=report.without_samples(), samples=report.samples())
    if interrupted:
        where = f"kept in {report.saved}" if report.saved else f"not saved: {report.not_saved}"
        told = f"interrupted; the first {_count(rounds.done, 'round')} of {plan.rounds} planned: {where}"
        raise BenchInterruptedError(told, report)
    return report


class _Rounds:
    """Leads the artifacts through the rounds.

    Attributes:
        done: rounds in which every artifact that can run had its turn.
    """

    def __init__(self, runs: Sequence[ArtifactRun], plan: BenchPlan, *, one_at_a_time: bool, tell: Progress) -> None:
        self.runs, self.plan, self.one_at_a_time, self.tell = runs, plan, one_at_a_time, tell
        self.done = 0

    def measure(self) -> None:
        with ExitStack() as stack:
            for run in self.runs:
                stack.callback(run.end)
            if not self.one_at_a_time:
                for run in self.runs:
                    self._load(run)
            for number in range(1, self.plan.most_rounds + 1):
                turn = [run for run in self.runs if run.wants_a_turn(number, self.plan)]
                if not turn:
                    return
                first = (number - 1) % len(turn)
                for run in (*turn[first:], *turn[:first]):  # what follows upon what differs from round to round
                    self._take_turn(run, number)
                self.done = number

    def _load(self, run: ArtifactRun) -> None:
        self.tell(f"loading {run.artifact.name}")
        run.start()

    def _take_turn(self, run: ArtifactRun, number: int) -> None:
        if self.one_at_a_time:
            self._load(run)
        again = "" if number <= self.plan.rounds else ", disturbed turns again"
        if run.worker is not None:
            self.tell(f"round {number} of {self.plan.rounds}{again}: {run.artifact.name}")
            run.take_turn(number, self.plan, [other.worker.pid for other in self.runs if other.worker is not None])
        if self.one_at_a_time:
            run.end()


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _preprocess_ms(bundle: Bundle) -> float | None:
    if not bundle.manifest.selftest:
        return None
    times = []
    try:
        encoded = bundle.read(bundle.manifest.selftest[0].file)
        for _ in range(7):
            begun = time.perf_counter()
            load(encoded, bundle.manifest.preprocessing)
            times.append((time.perf_counter() - begun) * 1000.0)
    except EdgedistillError as error:  # an altered photograph must not cost what was measured
        _log.warning("the preprocessing was not measured: %s", error)
        return None
    return statistics.median(times)
