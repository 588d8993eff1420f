"""Benchmarks of known truth: processes that differ by some per cent, and turns within them by less."""

import msgspec
import numpy as np

from edgedistill.runtime.bench.plan import BenchPlan
from edgedistill.runtime.bench.report import ArtifactBench, BenchReport
from edgedistill.runtime.bench.turn import Evidence, Turn

TURN_SD = 0.01
QUIET = Evidence(seconds=1.0, canary_ms=0.02, canary_floor_ms=0.02)


def artifact(
    random: np.random.Generator,
    *,
    name: str = "a",
    ms: float = 10.0,
    processes: int = 5,
    turns: int = 1,
    process_sd: float = 0.03,
    rounds: np.ndarray | None = None,
    **fields,
) -> ArtifactBench:
    """One artifact whose median inference takes `ms`; `rounds` are logarithms that all artifacts of a round share."""
    drift = np.zeros(processes) if rounds is None else rounds
    speeds = np.log(ms) + drift + random.normal(0, process_sd, processes)
    p50 = np.exp(speeds[:, None] + random.normal(0, TURN_SD, (processes, turns)))
    p90 = p50 * np.exp(0.06 + random.normal(0, TURN_SD, p50.shape))
    made = [
        Turn(round=1, samples=60, p50_ms=low, p90_ms=high, evidence=QUIET, process=process)
        for process, times in enumerate(zip(p50.tolist(), p90.tolist(), strict=True), 1)
        for low, high in zip(*times, strict=True)
    ]
    entry = ArtifactBench(
        name=name,
        backend="onnxruntime",
        precision="fp32",
        status="ran",
        bytes=1_000_000,
        sha256="f" * 64,
        batch_size=1,
        turns=tuple(made),
        peak_rss_bytes=50_000_000,
        effective={"library": "onnxruntime 1.32.0", "threads": "2"},
    )
    return msgspec.structs.replace(entry, **fields)


def report(*artifacts: ArtifactBench, **fields) -> BenchReport:
    """A benchmark of these."""
    made = BenchReport(
        bundle="b",
        manifest_sha256="",
        preset="quick",
        plan=BenchPlan(queries=128, seconds=10.0, rounds=5, processes=5),
        rounds=5,
        batch_size=1,
        preprocess_ms=None,
        load_start=(),
        load_end=(),
        temperature_start=None,
        temperature_end=None,
        artifacts=artifacts,
        device="a-machine-x86_64",
        created="2026-11-30T10:00:00+00:00",
    )
    return msgspec.structs.replace(made, **fields)
