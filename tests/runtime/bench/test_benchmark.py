"""One run over artifacts of all kinds: what is measured, judged, kept, and why the others do not run."""

import os
import shutil
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from bench_cases import mark_none, rewrite, run, with_gates

from edgedistill import runtime
from edgedistill.runtime.bench import artifact_run
from edgedistill.runtime.bench.messages import Measure
from edgedistill.runtime.bench.plan import PLANS, BenchPlan, queries_for
from edgedistill.runtime.bench.report import BenchReport
from edgedistill.runtime.bundle import Artifact, ExportParity, describe_file, open_bundle, read_runs, read_samples
from edgedistill.runtime.errors import BundleError, MissingDependencyError
from edgedistill.runtime.targets import Target


def poor_artifact(root) -> Artifact:
    """Its graph has not the output that the manifest promises."""
    good = (root / "onnx" / "model.fp32.onnx").read_bytes()
    assert good.count(b"probabilities") == 2  # of the node that makes it, and of the graph's output
    path = root / "onnx" / "poor.onnx"
    path.write_bytes(good.replace(b"probabilities", b"possibilities"))  # as long: no length in the file changes
    target = Target(name="poor", backend="onnxruntime", precision="fp32")
    return Artifact(name="poor", target=target, files=(describe_file(path, root),), status="verified")


@pytest.fixture(scope="module")
def measured(make_tiny_bundle, tmp_path_factory):
    """One real run over a good, a gated, a poor, a refused, an unavailable and an unexported artifact."""
    root = make_tiny_bundle(tmp_path_factory.mktemp("bench") / "b")
    ort, ov, _ = open_bundle(root).manifest.artifacts
    poor = poor_artifact(root)
    shutil.copy(root / ort.files[0].path, root / "onnx" / "altered.onnx")
    altered = msgspec.structs.replace(ort.files[0], path="onnx/altered.onnx", sha256="0" * 64)
    rewrite(
        root,
        with_gates(ort, max_p95_ms=10_000.0),
        with_gates(ov, max_p95_ms=1e-6),
        poor,
        msgspec.structs.replace(ort, name="altered", files=(altered,)),
        msgspec.structs.replace(ort, name="no-gpu", target=msgspec.structs.replace(ort.target, device="migraphx")),
        msgspec.structs.replace(ort, name="unexported", files=(), status="failed", reason="the converter died"),
    )
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PLANS, "demo", BenchPlan(queries=20, seconds=0.02, rounds=2))
        patch.setattr(artifact_run, "_WARM_UP", Measure(queries=1, seconds=0.0))
        patch.setattr(artifact_run, "judge_turns", mark_none)
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
        assert entry.latency.turns == len(entry.turns) == 2
        assert sum(turn.samples for turn in entry.turns) == entry.latency.samples == len(entry.samples_ms)
        assert entry.latency.p50.low <= entry.p50_ms <= entry.latency.p50.high
        assert entry.effective["threads"] == "1"
        assert 10e6 < entry.peak_rss_bytes < 2e9
        assert entry.sha256
    assert found["ov-fp32"].effective["precision"] == "fp32"
    assert report.preprocess_ms > 0


def test_a_latency_gate_lengthens_the_plan_and_is_judged(measured):
    _, report, found, _ = measured
    assert report.plan.queries == queries_for(0.95)
    (met,), (missed,) = found["ort-fp32"].gates, found["ov-fp32"].gates
    assert (met.verdict, found["ort-fp32"].verdict) == ("passed", "passed")
    assert met.observed == found["ort-fp32"].p95_ms
    assert (missed.verdict, found["ov-fp32"].verdict) == ("failed", "failed")
    assert "p95 latency" in missed.sentence
    assert (report.verdict, report.exit_code) == ("failed", 1)


def test_what_does_not_run_says_why_and_stops_nothing(measured):
    found = measured[2]
    assert found["poor"].status == "failed"
    assert "its graph has no output 'probabilities'" in found["poor"].reason
    assert found["altered"].status == "failed"
    assert "SHA-256" in found["altered"].reason
    assert found["no-gpu"].status == "could_not_run"
    assert "onnxruntime-migraphx" in found["no-gpu"].reason
    assert found["unexported"].status == "could_not_run"
    assert found["unexported"].reason == "not in the bundle: the converter died"


def test_artifacts_take_turns_in_an_order_that_rotates(measured):
    said = measured[3]
    assert [text for text in said if text.startswith("round")] == [
        "round 1 of 2: ort-fp32",
        "round 1 of 2: ov-fp32",
        "round 2 of 2: ov-fp32",
        "round 2 of 2: ort-fp32",
    ]


def test_the_report_is_kept_and_reads_back(measured):
    root, report, _, _ = measured
    assert report.saved
    ((run,),) = read_runs(root).values()
    stored = run.decode(BenchReport)
    assert stored == msgspec.structs.replace(report, saved=None).without_samples()
    assert stored.with_samples(read_samples(Path(report.saved))) == msgspec.structs.replace(report, saved=None)


def test_names_that_numpy_s_savez_takes_for_its_own_lose_nothing(make_tiny_bundle, tmp_path, monkeypatch):
    root = make_tiny_bundle(tmp_path / "b")
    ort = open_bundle(root).manifest.artifacts[0]
    names = ["file", "allow_pickle", "args", "kwds", "arr_0"]
    rewrite(root, *(msgspec.structs.replace(ort, name=name) for name in names))
    report = run(root, monkeypatch, artifacts=None, rounds=1)
    assert [artifact.name for artifact in report.artifacts] == names
    (stored,) = (found.decode(BenchReport) for runs in read_runs(root).values() for found in runs)
    whole = msgspec.structs.replace(report, saved=None)
    assert stored.with_samples(read_samples(Path(report.saved))) == whole
    assert all(len(artifact.samples_ms) >= 100 for artifact in report.artifacts)


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_a_folder_whose_name_is_not_utf_8(make_tiny_bundle, tmp_path, monkeypatch):
    """It is measured, or where the library cannot open such a path a line says so; never a UnicodeEncodeError."""
    root = make_tiny_bundle(tmp_path / os.fsdecode(b"caf\xe9"))
    told = ""
    try:
        report = run(root, monkeypatch)
    except BundleError as refused:
        told = str(refused)
    else:
        assert report.artifacts[0].status == "ran"
        assert r"caf\xe9" in report.saved
    assert not told or ("ort-fp32: " in told and "\n" not in told)


def test_an_artifact_without_files_is_judged_as_selftest_does(make_tiny_bundle, tmp_path, monkeypatch):
    """One that the export found wrong failed, one whose toolchain was missing could not run."""
    root = make_tiny_bundle(tmp_path / "b")
    ort, ov, bf16 = open_bundle(root).manifest.artifacts
    parity = ExportParity(images=3, max_abs_logit=9.0, mean_abs_logit=5.0)
    rewrite(
        root,
        ort,
        msgspec.structs.replace(ov, files=(), status="failed", reason="its logits are 9 off", parity=parity),
        msgspec.structs.replace(bf16, files=(), status="failed", reason="the converter is not installed"),
    )
    benched = run(root, monkeypatch, artifacts=None)
    tested = runtime.selftest(root)
    assert [entry.verdict for entry in benched.artifacts][1:] == ["failed", "could not run"]
    assert [entry.verdict for entry in tested.artifacts][1:] == ["failed", "could not run"]
    assert [entry.reason for entry in benched.artifacts][1:] == [entry.sentence for entry in tested.artifacts][1:]
    assert benched.exit_code == 1


def test_a_device_word_that_a_backend_does_not_know_could_not_run(make_tiny_bundle, tmp_path, monkeypatch):
    """As in verify and selftest: the word was the caller's, the artifact did not fail."""
    root = make_tiny_bundle(tmp_path / "b")
    with pytest.raises(MissingDependencyError) as benched:
        run(root, monkeypatch, device="npu")
    with pytest.raises(MissingDependencyError) as tested:
        runtime.selftest(root, artifacts=["ort-fp32"], device="npu")
    assert str(benched.value) == str(tested.value)
    assert "ort-fp32: unknown onnxruntime device 'npu'" in str(benched.value)


def test_nothing_that_runs_is_an_error(make_tiny_bundle, tmp_path):
    root = make_tiny_bundle(tmp_path / "b")
    ort = open_bundle(root).manifest.artifacts[0]
    rewrite(root, msgspec.structs.replace(ort, files=(), status="failed", reason="the converter died"))
    with pytest.raises(MissingDependencyError, match="the converter died"):
        runtime.benchmark(root, preset="demo")
