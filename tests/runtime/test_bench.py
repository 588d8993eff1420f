from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgedistill import runtime
from edgedistill.runtime import bench, bench_worker
from edgedistill.runtime.bench_report import PLANS, ArtifactBench, BenchPlan, BenchReport, queries_for
from edgedistill.runtime.bundle import Artifact, describe_file, open_bundle, read_runs
from edgedistill.runtime.errors import BundleError, ConfigError, MissingDependencyError
from edgedistill.runtime.targets import Target


def artifact_bench(samples) -> ArtifactBench:
    return ArtifactBench(
        name="a", backend="openvino", precision="fp32", status="ran", bytes=1, samples_ms=tuple(map(float, samples))
    )


@pytest.mark.parametrize(("p", "least"), [(0.5, 20), (0.9, 100), (0.95, 200), (0.99, 1000), (0.999, 10000)])
def test_a_percentile_needs_ten_samples_beyond_it(p, least):
    assert queries_for(p) == least
    assert artifact_bench(range(least - 1)).percentile(p) is None
    assert artifact_bench(range(least)).percentile(p) == pytest.approx(p * (least - 1))


def test_statistics_are_of_all_samples():
    found = artifact_bench([1.0] * 99 + [1000.0])
    assert found.p50_ms == 1.0
    assert found.p90_ms == 1.0
    assert found.p95_ms is None
    assert found.mean_ms == pytest.approx(10.99)


def test_throttling_is_a_slower_last_third():
    assert artifact_bench([1] * 20 + [1.05] * 10 + [1.2] * 10).throttled
    assert not artifact_bench([1] * 30 + [1.09] * 15).throttled
    assert not artifact_bench([1] * 20 + [9] + [1] * 20).throttled
    assert not artifact_bench([1, 2]).throttled


def test_the_demo_plan_gives_the_headline():
    assert PLANS["demo"].queries >= queries_for(0.90)


def rewrite(root, *artifacts):
    """Write the manifest again with these artifacts."""
    manifest = open_bundle(root).manifest
    manifest = msgspec.structs.replace(manifest, artifacts=artifacts)
    (root / "manifest.json").write_bytes(msgspec.json.encode(manifest))


def with_gates(artifact: Artifact, **gates) -> Artifact:
    return msgspec.structs.replace(artifact, target=msgspec.structs.replace(artifact.target, gates=gates))


def dying_artifact(root) -> Artifact:
    """Loads, and then has not the output that the runtime asks for: the worker ends with a traceback."""
    import onnx

    model = onnx.load(root / "onnx" / "model.fp32.onnx")
    path = root / "onnx" / "dying.onnx"
    model.graph.node[-1].output[0] = model.graph.output[1].name = "likelihoods"
    onnx.save(model, path)
    target = Target(name="dying", backend="onnxruntime", precision="fp32")
    return Artifact(name="dying", target=target, files=(describe_file(path, root),), status="verified")


@pytest.fixture(scope="module")
def measured(make_tiny_bundle, tmp_path_factory):
    """One real run over a good, a gated, a dying, a refused, an unavailable and an unexported artifact."""
    root = make_tiny_bundle(tmp_path_factory.mktemp("bench") / "b")
    ort, ov, _ = open_bundle(root).manifest.artifacts
    dying = dying_artifact(root)
    altered = msgspec.structs.replace(ort.files[0], sha256="0" * 64)
    rewrite(
        root,
        with_gates(ort, max_p95_ms=10_000.0),
        with_gates(ov, max_p95_ms=1e-6),
        dying,
        msgspec.structs.replace(ort, name="altered", files=(altered,)),
        msgspec.structs.replace(ort, name="no-gpu", target=msgspec.structs.replace(ort.target, device="migraphx")),
        msgspec.structs.replace(ort, name="unexported", files=(), status="failed", reason="the converter died"),
    )
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PLANS, "demo", BenchPlan(queries=20, seconds=0.02, rounds=2))
        report = runtime.benchmark(root, preset="demo", threads=1, progress=said.append)
    return root, report, {entry.name: entry for entry in report.artifacts}, said


def test_what_runs_is_measured(measured):
    _, report, found, _ = measured
    for name in ("ort-fp32", "ov-fp32"):
        entry = found[name]
        assert entry.status == "ran"
        assert len(entry.samples_ms) >= report.plan.queries
        assert min(entry.import_ms, entry.load_ms, entry.first_ms, *entry.samples_ms) > 0
        assert report.throughput(entry) == pytest.approx(1000 / np.mean(entry.samples_ms))
        assert entry.effective["threads"] == "1"
        assert 10e6 < entry.peak_rss_bytes < 2e9
        assert entry.sha256
    assert found["ov-fp32"].effective["precision"] == "f32"
    assert report.preprocess_ms > 0


def test_a_latency_gate_lengthens_the_plan_and_is_judged(measured):
    _, report, found, _ = measured
    assert report.plan.queries == queries_for(0.95)
    (met,), (missed,) = found["ort-fp32"].gates, found["ov-fp32"].gates
    assert met.passed
    assert met.observed == found["ort-fp32"].p95_ms
    assert not missed.passed
    assert "p95 latency" in missed.sentence
    assert not report.passed


def test_what_does_not_run_says_why_and_stops_nothing(measured):
    found = measured[2]
    assert found["dying"].status == "failed"
    assert found["dying"].reason.startswith("its process ended with code 1: ")
    assert "probabilities" in found["dying"].reason
    assert found["altered"].status == "failed"
    assert "SHA-256" in found["altered"].reason
    assert found["no-gpu"].status == "could_not_run"
    assert "onnxruntime-migraphx" in found["no-gpu"].reason
    assert found["unexported"].status == "could_not_run"
    assert found["unexported"].reason == "not in the bundle: the converter died"


def test_artifacts_take_turns_with_a_canary_before_each(measured):
    _, report, _, said = measured
    turns = [text.rpartition(" ")[2] for text in said if text.startswith("round")]
    assert turns == ["ort-fp32", "ov-fp32"] * 2
    assert len(report.canary_ms) == len(turns)
    assert report.canary_ratio >= 1


def test_the_report_is_kept_and_reads_back(measured):
    root, report, _, _ = measured
    assert report.saved
    ((run,),) = read_runs(root).values()
    assert run.decode(BenchReport) == msgspec.structs.replace(report, saved=None)


def test_nothing_that_runs_is_an_error(make_tiny_bundle, tmp_path):
    root = make_tiny_bundle(tmp_path / "b")
    ort = open_bundle(root).manifest.artifacts[0]
    rewrite(root, msgspec.structs.replace(ort, files=(), status="failed", reason="the converter died"))
    with pytest.raises(MissingDependencyError, match="the converter died"):
        runtime.benchmark(root, preset="demo")


def test_wrong_options_are_refused_before_anything_is_started(tiny_bundle):
    with pytest.raises(ConfigError, match="unknown bench preset 'fast': one of demo, smoke, quick, full"):
        runtime.benchmark(tiny_bundle, preset="fast")
    with pytest.raises(ConfigError, match="ort-fp32: takes batches of 1 to 4 images, not 5"):
        runtime.benchmark(tiny_bundle, batch_size=5)
    with pytest.raises(BundleError, match="holds no artifact 'nope'"):
        runtime.benchmark(tiny_bundle, artifacts=["nope"])


def test_without_a_preset_the_longest_of_the_deploy_configs_counts(tiny_bundle):
    first, second, _ = open_bundle(tiny_bundle).manifest.artifacts
    full = msgspec.structs.replace(first, target=msgspec.structs.replace(first.target, bench="full"))
    assert bench._plan(None, [second, full], 1) == ("full", PLANS["full"])
    assert bench._plan("smoke", [second, full], 1)[0] == "smoke"


def test_both_minimums_must_be_met(monkeypatch):
    clock = iter(np.arange(0, 1000, 0.25))  # every look at the clock takes a quarter of a second
    monkeypatch.setattr(bench_worker.time, "perf_counter", lambda: float(next(clock)))
    assert len(bench_worker.measure(lambda: None, queries=7, seconds=0.0)) == 7
    long = bench_worker.measure(lambda: None, queries=1, seconds=10.0)
    assert len(long) > 7
    assert set(long) == {250.0}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="VmHWM is Linux's")
def test_a_worker_s_memory_is_not_its_parent_s(tiny_bundle, monkeypatch):
    ballast = np.ones(60_000_000)  # 480 MB, resident
    monkeypatch.setitem(PLANS, "demo", BenchPlan(queries=1, seconds=0.0, rounds=1))
    monkeypatch.setattr(bench, "save_run", lambda *_: "nowhere")
    (entry,) = runtime.benchmark(tiny_bundle, artifacts=["ort-fp32"], preset="demo").artifacts
    assert bench_worker.peak_rss() > ballast.nbytes
    assert entry.peak_rss_bytes < ballast.nbytes
