"""What a benchmark found, as typed values."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec
import numpy as np

from ..errors import InterruptedRunError
from ..record import Record
from ..verdicts import EXIT_CODES, Judgement, Verdict, overall
from .disturbance import in_words, unseen, worst
from .figures import Energy, Offline, Server, Spans
from .plan import BenchPlan
from .statistics import Latency, summarise
from .turn import Turn

BenchStatus = Literal["ran", "could_not_run", "failed"]


class ArtifactBench(Record):
    """One artifact's measurements, in its own process.

    Attributes:
        name: unique in the report: the artifact's, and in a sweep its setting.
        artifact: the artifact's name in the manifest, where `name` says more; empty where it is that.
        status: "ran"; "could_not_run": this machine lacks something; "failed": refused, or its process was lost.
        reason: why it did not run.
        bytes: size of its files.
        sha256: of the main file, the same that verify's numbers belong to.
        batch_size: images per inference; None in reports of the first versions, which had one for all.
        threads: that were asked for; None leaves the deploy config's.
        device: the backend's device word that was asked for; None leaves the deploy config's.
        streams: inferences under way at once.
        processes: that measured it, one after another; what was loaded is told by their medians.
        import_ms: importing the backend's library in a fresh process.
        load_ms: from the hash-checked files to a runnable graph.
        first_ms: the first inference, with its lazy allocations.
        latency: the statistics of the turns that count: the quiet ones, or all where those are too few; in the
            scenarios "single" and "batch".
        offline: in the scenario "throughput".
        server: in the scenario "server".
        energy: None without a counter.
        spans: from a photograph to labels, in the scenario "single"; None where there is no photograph.
        turns: every turn in the order measured, disturbed or not, with its evidence.
        samples_ms: every steady inference of every turn in the order measured; `turns` says where each turn ends.
            Empty where they are stored apart.
        disturbed: what disturbed it, in words, where too few turns were quiet; empty otherwise.
        peak_rss_bytes: the process's largest resident memory, interpreter and library included; None where the
            system does not tell.
        effective: what the backend says it really used: library, providers or device, precision, threads.
        gates: the deploy config's limits, judged.
    """

    name: str
    backend: str
    precision: str
    status: BenchStatus
    bytes: int
    artifact: str = ""
    reason: str = ""
    sha256: str = ""
    batch_size: int | None = None
    threads: int | None = None
    device: str | None = None
    streams: int = 1
    processes: int = 0
    import_ms: float | None = None
    load_ms: float | None = None
    first_ms: float | None = None
    latency: Latency | None = None
    offline: Offline | None = None
    server: Server | None = None
    energy: Energy | None = None
    spans: Spans | None = None
    turns: tuple[Turn, ...] = ()
    samples_ms: tuple[float, ...] = ()
    disturbed: str = ""
    peak_rss_bytes: int | None = None
    effective: dict[str, str] = {}
    gates: tuple[Judgement, ...] = ()

    @property
    def mean_ms(self) -> float | None:
        return self._of_latency(lambda latency: latency.mean_ms)

    @property
    def p50_ms(self) -> float | None:
        return self._of_latency(lambda latency: latency.p50.estimate)

    @property
    def p90_ms(self) -> float | None:
        """The headline, as in MLPerf's single-stream scenario."""
        return self._of_latency(lambda latency: latency.p90.estimate)

    @property
    def p95_ms(self) -> float | None:
        return self._of_latency(lambda latency: latency.p95.estimate)

    @property
    def p99_ms(self) -> float | None:
        return self._of_latency(lambda latency: latency.p99_ms)

    @property
    def throttled(self) -> bool:
        """It became slower and stayed so; nothing of the kind can be said on a disturbed machine."""
        return self.latency is not None and self.latency.throttled and not self.disturbed

    @property
    def disturbed_turns(self) -> int:
        return sum(not turn.quiet for turn in self.turns)

    @property
    def evidence(self) -> str:
        """What speaks against its disturbed turns, in words: the largest value of each kind."""
        return in_words(worst(self.turns))

    @property
    def verdict(self) -> Verdict:
        """What the gates say; "not judged" without any: measuring is not judging."""
        if self.status != "ran":
            return "failed" if self.status == "failed" else "could not run"
        return overall(gate.verdict for gate in self.gates)

    @property
    def passed(self) -> bool:
        return self.verdict == "passed"

    def turn_samples(self) -> tuple[tuple[float, ...], ...]:
        """`samples_ms` by turn; raises ValueError where they are stored apart."""
        return split_samples(self.turns, self.samples_ms)

    def _of_latency(self, number: Callable[[Latency], float | None]) -> float | None:
        """A number of `latency`; the first versions kept samples without turns, from which it is computed."""
        if self.latency is not None:
            return number(self.latency)
        first_versions = self.samples_ms and not self.turns
        return number(summarise([self.samples_ms])) if first_versions else None


class BenchReport(Record):
    """What `benchmark` found.

    Attributes:
        bundle: the bundle's name.
        manifest_sha256: of the manifest, so that a report is tied to the very files it measured.
        preset: the plan's name.
        plan: its numbers.
        rounds: rounds that were completed, repetitions of disturbed turns included; 0 in reports of the first versions.
        interrupted: Ctrl-C ended it; only complete rounds are in it.
        one_at_a_time: every turn loaded its artifact anew, so that no two were in memory.
        scenario: what was asked of each artifact, see `scenarios`.
        max_p99_ms: the limit of the scenario "server".
        batch_size: images per inference, the first of a sweep; each artifact says its own.
        size: height and width that were asked for, of a model file whose graph leaves them open; None otherwise.
        preprocess_ms: median time to decode and resize one photograph, which an app pays on top; None without.
        load_start: load average (1, 5, 15 minutes) when the measuring began; empty where there is none.
        load_end: the same at its end.
        temperature_start: hottest thermal zone in degrees Celsius, where readable.
        temperature_end: the same at its end.
        device: slug of the machine; its description lies with the results.
        created: ISO 8601, UTC.
        saved: where the report was appended; None when it was not.
        not_saved: why it was not.
    """

    bundle: str
    manifest_sha256: str
    preset: str
    plan: BenchPlan
    batch_size: int
    preprocess_ms: float | None
    load_start: tuple[float, ...]
    load_end: tuple[float, ...]
    temperature_start: float | None
    temperature_end: float | None
    artifacts: tuple[ArtifactBench, ...]
    device: str
    created: str
    rounds: int = 0
    interrupted: bool = False
    one_at_a_time: bool = False
    size: tuple[int, int] | None = None
    scenario: str = "single"
    max_p99_ms: float | None = None
    saved: str | None = None
    not_saved: str = ""

    def throughput(self, artifact: ArtifactBench) -> float | None:
        """Images per second: what was measured of several streams; of one in a closed loop, batch over mean latency."""
        if artifact.offline is not None:
            return artifact.offline.images_per_s.estimate
        if artifact.server is not None:
            return artifact.server.rate
        batch_size = artifact.batch_size or self.batch_size
        return None if artifact.mean_ms is None else batch_size * 1000.0 / artifact.mean_ms

    @property
    def disturbed(self) -> bool:
        """An artifact had too few quiet turns, so its figures are those of a disturbed machine."""
        return any(artifact.disturbed for artifact in self.artifacts)

    @property
    def unseen(self) -> tuple[str, ...]:
        """Evidence of disturbance that this system does not give, in words."""
        return unseen([turn for artifact in self.artifacts for turn in artifact.turns])

    @property
    def verdict(self) -> Verdict:
        """The worst of its artifacts'."""
        return overall(artifact.verdict for artifact in self.artifacts)

    @property
    def passed(self) -> bool:
        return self.verdict == "passed"

    @property
    def exit_code(self) -> int:
        """Of the command: a measurement without gates is a success."""
        return 0 if self.verdict == "not judged" else EXIT_CODES[self.verdict]

    def samples(self) -> dict[str, np.ndarray]:
        """Every artifact's samples as float64 milliseconds, to be stored apart; `with_samples` brings them back."""
        return {artifact.name: np.asarray(artifact.samples_ms, float) for artifact in self.artifacts}

    def without_samples(self) -> "BenchReport":
        """The same report without its samples: every statistic, turn and verdict stays."""
        bare = tuple(msgspec.structs.replace(artifact, samples_ms=()) for artifact in self.artifacts)
        return msgspec.structs.replace(self, artifacts=bare)

    def with_samples(self, samples: Mapping[str, Sequence[float] | np.ndarray]) -> "BenchReport":
        """The same report with the samples of the artifacts that are named; ValueError when they are not its turns'."""
        artifacts = []
        for artifact in self.artifacts:
            found = tuple(float(value) for value in samples.get(artifact.name, artifact.samples_ms))
            if found:
                split_samples(artifact.turns, found)
            artifacts.append(msgspec.structs.replace(artifact, samples_ms=found))
        return msgspec.structs.replace(self, artifacts=tuple(artifacts))


class BenchInterruptedError(InterruptedRunError):
    """Ctrl-C after the first round: `report` holds the complete rounds and says where it was saved."""

    def __init__(self, message: str, report: BenchReport) -> None:
        super().__init__(message)
        self.report = report


def split_samples(turns: Sequence[Turn], samples: Sequence[float]) -> tuple[tuple[float, ...], ...]:
    """A flat run of samples by turn; raises ValueError when the turns have not as many."""
    if sum(turn.samples for turn in turns) != len(samples):
        raise ValueError(f"the turns have {sum(turn.samples for turn in turns)} samples, there are {len(samples)}")
    ends = np.cumsum([turn.samples for turn in turns]).tolist()
    return tuple(tuple(samples[end - turn.samples : end]) for turn, end in zip(turns, ends, strict=True))
