"""What a benchmark found, as typed values: raw samples are kept, every statistic is a property."""

from typing import Literal

import numpy as np

from .record import Record
from .verdicts import Judgement, Verdict, overall

BenchStatus = Literal["ran", "could_not_run", "failed"]

_THROTTLING = 1.10
_NOISE = 1.20


class BenchPlan(Record):
    """How long to measure, per artifact: until both minimums are met (MLPerf mobile's rule and sizes).

    Attributes:
        queries: least number of measured inferences.
        seconds: least time spent on them.
        rounds: over how many turns they are spread; the artifacts take turns.
    """

    queries: int
    seconds: float
    rounds: int


PLANS: dict[str, BenchPlan] = {
    # The demo needs a p90 (100 queries) in a few seconds; the other sizes are MLPerf's.
    "demo": BenchPlan(queries=100, seconds=1.0, rounds=4),
    "smoke": BenchPlan(queries=64, seconds=6.0, rounds=4),
    "quick": BenchPlan(queries=128, seconds=10.0, rounds=5),
    "full": BenchPlan(queries=1024, seconds=60.0, rounds=12),
}


def queries_for(p: float) -> int:
    """The fewest samples on which the quantile `p` (0 < p < 1) may be stated: ten beyond it, n >= 10 / (1 - p)."""
    return int(np.ceil(10 / (1 - p) - 1e-6))  # 10 / (1 - 0.9) is a little above 100 in binary


class ArtifactBench(Record):
    """One artifact's measurements, in its own process. Milliseconds of wall time per inference of one batch.

    Attributes:
        status: "ran"; "could_not_run": this machine lacks something; "failed": refused, or its process died.
        reason: why it did not run.
        bytes: size of its files.
        sha256: of the main file, the same that verify's numbers belong to.
        import_ms: importing the backend's library in a fresh process.
        load_ms: from the hash-checked files to a runnable graph.
        first_ms: the first inference, with its lazy allocations.
        samples_ms: every steady inference in the order measured, after the warm-up.
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
    reason: str = ""
    sha256: str = ""
    import_ms: float | None = None
    load_ms: float | None = None
    first_ms: float | None = None
    samples_ms: tuple[float, ...] = ()
    peak_rss_bytes: int | None = None
    effective: dict[str, str] = {}
    gates: tuple[Judgement, ...] = ()

    def percentile(self, p: float) -> float | None:
        """The quantile `p` (0 < p < 1) of the steady latency; None when the samples are too few to state it."""
        if len(self.samples_ms) < queries_for(p):
            return None
        return float(np.quantile(self.samples_ms, p))

    @property
    def p50_ms(self) -> float | None:
        return self.percentile(0.50)

    @property
    def p90_ms(self) -> float | None:
        """The headline, as in MLPerf's single-stream scenario."""
        return self.percentile(0.90)

    @property
    def p95_ms(self) -> float | None:
        return self.percentile(0.95)

    @property
    def p99_ms(self) -> float | None:
        return self.percentile(0.99)

    @property
    def mean_ms(self) -> float | None:
        return float(np.mean(self.samples_ms)) if self.samples_ms else None

    @property
    def throttled(self) -> bool:
        """The last third of the samples is more than 10 % slower than the first, by their medians."""
        third = len(self.samples_ms) // 3
        if third == 0:
            return False
        return bool(np.median(self.samples_ms[-third:]) > _THROTTLING * np.median(self.samples_ms[:third]))

    @property
    def verdict(self) -> Verdict:
        if self.status == "ran":
            return overall(gate.verdict for gate in self.gates)
        return "failed" if self.status == "failed" else "could not run"

    @property
    def passed(self) -> bool:
        """It ran and met every gate."""
        return self.status == "ran" and all(gate.passed for gate in self.gates)


class BenchReport(Record):
    """What `benchmark` found.

    Attributes:
        bundle: the bundle's name.
        manifest_sha256: of the manifest, so that a report is tied to the very files it measured.
        preset: the plan's name.
        plan: its numbers.
        batch_size: images per inference.
        preprocess_ms: median time to decode and resize one golden photograph, which an app pays on top; None without.
        canary_ms: a fixed workload before every turn; on a quiet machine all are equal.
        load_start: load average (1, 5, 15 minutes) when the measuring began; empty where there is none.
        load_end: the same at its end.
        temperature_start: hottest thermal zone in degrees Celsius, where readable.
        temperature_end: the same at its end.
        device: slug of the machine; results/<device>.json describes it.
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
    canary_ms: tuple[float, ...]
    load_start: tuple[float, ...]
    load_end: tuple[float, ...]
    temperature_start: float | None
    temperature_end: float | None
    artifacts: tuple[ArtifactBench, ...]
    device: str
    created: str
    saved: str | None = None
    not_saved: str = ""

    def throughput(self, artifact: ArtifactBench) -> float | None:
        """Images per second of one process in a closed loop: batch_size / mean latency."""
        return None if artifact.mean_ms is None else self.batch_size * 1000.0 / artifact.mean_ms

    @property
    def canary_ratio(self) -> float | None:
        """The slowest canary over the fastest."""
        return max(self.canary_ms) / min(self.canary_ms) if self.canary_ms else None

    @property
    def noisy(self) -> bool:
        """The canary varied by more than 20 %: something else used the machine, so repeat on a quiet one."""
        return self.canary_ratio is not None and self.canary_ratio > _NOISE

    @property
    def passed(self) -> bool:
        """At least one artifact ran, none failed, and all that ran meet their gates."""
        ran = [artifact for artifact in self.artifacts if artifact.status != "could_not_run"]
        return bool(ran) and all(artifact.passed for artifact in ran)
