"""Short measurements of a bundle that a test may change."""

import msgspec

from edgedistill import runtime
from edgedistill.runtime.bench import artifact_run
from edgedistill.runtime.bench.messages import Measure
from edgedistill.runtime.bench.plan import PLANS, BenchPlan
from edgedistill.runtime.bench.report import BenchReport
from edgedistill.runtime.bundle import Artifact, open_bundle


def rewrite(root, *artifacts):
    """Write the manifest again with these artifacts."""
    manifest = open_bundle(root).manifest
    manifest = msgspec.structs.replace(manifest, artifacts=artifacts)
    (root / "manifest.json").write_bytes(msgspec.json.encode(manifest))


def with_gates(artifact: Artifact, **gates) -> Artifact:
    return msgspec.structs.replace(artifact, target=msgspec.structs.replace(artifact.target, gates=gates))


def gated(root, limit: float):
    """The bundle with a latency gate on its first artifact."""
    ort, *others = open_bundle(root).manifest.artifacts
    rewrite(root, with_gates(ort, max_p95_ms=limit), *others)
    return root


def mark_none(turns, *_):
    """On a machine that tests share no turn is quiet: here all are taken for it."""
    return tuple(msgspec.structs.replace(turn, disturbed_by={}) for turn in turns)


def mark_all(turns, *_):
    return tuple(msgspec.structs.replace(turn, disturbed_by={"others": 0.7}) for turn in turns)


def run(bundle, patch, judge=mark_none, *, rounds=2, **options) -> BenchReport:
    """A short run of `ort-fp32` whose turns are judged by `judge`."""
    patch.setitem(PLANS, "demo", BenchPlan(queries=100, seconds=0.0, rounds=rounds))
    patch.setattr(artifact_run, "judge_turns", judge)
    patch.setattr(artifact_run, "_WARM_UP", Measure(queries=1, seconds=0.0))
    return runtime.benchmark(bundle, **{"artifacts": ["ort-fp32"], "preset": "demo", **options})
