"""Which artifact is loaded where nobody says: the fastest that is verified, runs here and meets its gates."""

import json

import msgspec
import pytest

from edgedistill import runtime
from edgedistill.runtime.backends.base import BACKENDS
from edgedistill.runtime.bundle import open_bundle
from edgedistill.runtime.device import device_slug
from edgedistill.runtime.errors import MissingDependencyError
from edgedistill.runtime.predictor.evidence import evidence

NAMES = ("ort-fp32", "ov-fp32", "ov-bf16")


@pytest.fixture
def bundle(make_tiny_bundle, tmp_path):
    """A bundle whose artifacts have a gate on their mAP, and `add` for a run's file."""
    root = make_tiny_bundle(tmp_path / "b")
    path = root / "manifest.json"
    manifest = json.loads(path.read_text())
    for artifact in manifest["artifacts"]:
        artifact["target"]["gates"] = {"max_map_drop": 0.5}
    path.write_text(json.dumps(manifest))
    return root


def add(root, kind, artifacts, *, device=None, created="2026-11-29T10:00:00+00:00", **report):
    folder = root / "results" / (device or device_slug())
    folder.mkdir(parents=True, exist_ok=True)
    report = {"manifest_sha256": open_bundle(root).manifest_sha256, "artifacts": artifacts, **report}
    described = msgspec.to_builtins(runtime.describe_device())
    run = {"kind": kind, "created": created, "device": described, "report": report, "schema_version": 2}
    (folder / f"{len(list(folder.iterdir()))}-{kind}.json").write_text(json.dumps(run))


def bench(root, p90, *, gates=(), disturbed="", threads=None, device_word=None, **report):
    interval = {"confidence": 0.95, "low": None, "high": None}
    artifacts = [
        {
            "name": name,
            "status": "ran",
            "disturbed": disturbed,
            "threads": threads,
            "device": device_word,
            "latency": {"p90": {"estimate": value, **interval}},
            "gates": [{"verdict": "failed", "sentence": "p90 latency 9 ms, above 5 ms."}] if name in gates else [],
        }
        for name, value in zip(NAMES, p90, strict=True)
    ]
    add(root, "bench", artifacts, **report)


def verify(root, verdicts, **report):
    sentence = "mAP drop 3 points, above 0.5 points."
    artifacts = [
        {"name": name, "verdict": verdict, "gates": [{"verdict": verdict, "sentence": sentence}]}
        for name, verdict in verdicts.items()
    ]
    add(root, "verify", artifacts, **report)


def chosen(root, **options):
    with runtime.load(root, **options) as predictor:
        return predictor.artifact.name, predictor.chosen


def test_without_records_the_manifest_s_order_decides_and_that_is_said(bundle):
    name, why = chosen(bundle)
    assert name == "ort-fp32"
    assert why == (
        "ort-fp32: not verified on labelled images yet; which is fastest here no bench has measured: "
        "`edgedistill bench`."
    )
    assert chosen(bundle, name="ov-bf16")[1] == "ov-bf16: the only one that was asked for or is there."


def test_the_fastest_by_this_device_s_latest_bench_of_single_images(bundle):
    bench(bundle, (1, 9, 9), created="2026-11-01T10:00:00+00:00")
    bench(bundle, (9, 4.25, 5))
    bench(bundle, (1, 9, 9), device="another-device-x86_64", created="2026-12-01T10:00:00+00:00")
    bench(bundle, (1, 9, 9), batch_size=8, created="2026-12-01T10:00:00+00:00")
    bench(bundle, (1, 9, 9), scenario="throughput", created="2026-12-01T10:00:00+00:00")
    bench(
        bundle,
        (1, 9, 9),
        disturbed="another process",
        manifest_sha256="of another",
        created="2026-12-01T10:00:00+00:00",
    )
    name, why = chosen(bundle)
    assert name == "ov-fp32"
    assert why.endswith("; p90 4.25 ms in this device's bench of 2026-11-29; ov-bf16 5 ms.")
    assert chosen(bundle, precision="bf16")[0] == "ov-bf16"


def test_a_bench_counts_for_the_threads_and_the_device_that_it_was_made_with(bundle):
    bench(bundle, (4, 9, 9))
    bench(bundle, (9, 4, 5), threads=2, gates=("ort-fp32",), created="2026-12-01T10:00:00+00:00")
    bench(bundle, (9, 9, 4), device_word="gpu", created="2026-12-02T10:00:00+00:00")
    assert chosen(bundle)[0] == "ort-fp32"
    assert chosen(bundle, threads=2)[0] == "ov-fp32"
    assert "no bench has measured" in chosen(bundle, threads=3)[1]


def test_a_sweep_over_threads_counts_for_each_number(bundle):
    latency = {"p90": {"confidence": 0.95, "low": None, "high": None}}
    artifacts = [
        {
            "name": f"{name} (threads {threads})",
            "artifact": name,
            "status": "ran",
            "threads": threads,
            "latency": {"p90": latency["p90"] | {"estimate": p90}},
        }
        for threads, times in ((1, (4, 9, 9)), (2, (9, 4, 9)))
        for name, p90 in zip(NAMES, times, strict=True)
    ]
    add(bundle, "bench", artifacts)
    assert chosen(bundle, threads=1)[0] == "ort-fp32"
    name, why = chosen(bundle, threads=2)
    assert name == "ov-fp32"
    assert "p90 4 ms in this device's bench" in why


def test_a_disturbed_measurement_leaves_an_earlier_one_standing(bundle):
    bench(bundle, (9, 4, 5))
    bench(bundle, (1, 1, 1), disturbed="another process", created="2026-12-01T10:00:00+00:00")
    name, why = chosen(bundle)
    assert name == "ov-fp32"
    assert why.endswith("; p90 4 ms in this device's bench of 2026-11-29; ov-bf16 5 ms.")


def test_too_few_images_leave_an_earlier_verdict_standing(bundle):
    bench(bundle, (4, 9, 9))
    verify(bundle, dict.fromkeys(NAMES, "passed"), images=4500)
    verify(bundle, {"ort-fp32": "undecided"}, images=40, created="2026-12-01T10:00:00+00:00")
    name, why = chosen(bundle)
    assert name == "ort-fp32"
    assert why.startswith("ort-fp32: passed verify here; ")
    verify(bundle, {"ort-fp32": "undecided"}, images=9000, created="2026-12-02T10:00:00+00:00")
    assert chosen(bundle)[0] != "ort-fp32"  # more images say less: the earlier verdict was luck
    verify(bundle, {"ort-fp32": "failed"}, images=60, created="2026-12-03T10:00:00+00:00")
    with runtime.load(bundle) as predictor:
        assert "ort-fp32" in predictor.passed_over


def test_a_disturbed_measurement_does_not_count(bundle):
    bench(bundle, (9, 4, 5), disturbed="another process")
    name, why = chosen(bundle)
    assert name == "ort-fp32"
    assert "this device's bench was disturbed and does not say which is fastest" in why


def test_what_meets_its_gates_comes_before_what_nobody_has_judged_and_before_what_is_faster(bundle):
    bench(bundle, (9, 4, 3))
    verify(bundle, {"ort-fp32": "passed", "ov-fp32": "passed", "ov-bf16": "undecided"})
    name, why = chosen(bundle)
    assert name == "ov-fp32"
    assert why.startswith("ov-fp32: passed verify here; p90 4 ms")


def test_what_misses_a_gate_comes_last_and_is_told(bundle, caplog):
    bench(bundle, (9, 4, 3), gates=("ov-bf16",))
    verify(bundle, {"ov-fp32": "failed"}, device="another-device-x86_64")
    with runtime.load(bundle) as predictor:
        assert predictor.artifact.name == "ort-fp32"
        assert predictor.passed_over == {
            "ov-fp32": "misses a gate on another device: mAP drop 3 points, above 0.5 points",
            "ov-bf16": "misses a gate here: p90 latency 9 ms, above 5 ms",
        }
    verify(bundle, {"ov-fp32": "passed", "ort-fp32": "failed"})  # what is found here says more
    assert chosen(bundle)[0] == "ov-fp32"
    verify(bundle, {"ov-fp32": "failed"}, created="2026-11-30T10:00:00+00:00")
    assert "misses a gate, and nothing better runs here" in chosen(bundle)[1]
    assert "nothing better runs here" in caplog.text


def test_a_verdict_counts_for_the_way_of_decoding_that_it_judged(bundle):
    verify(bundle, {"ort-fp32": "failed"}, decode="reduced")
    assert chosen(bundle)[0] == "ort-fp32"
    assert chosen(bundle, decode="reduced")[0] == "ov-fp32"


def test_the_fastest_that_runs_here(bundle, monkeypatch):
    bench(bundle, (9, 4, 5))

    def library(*_):
        raise MissingDependencyError("no openvino here.")

    monkeypatch.setattr(BACKENDS.get("openvino"), "library", library)
    with runtime.load(bundle) as predictor:
        assert predictor.artifact.name == "ort-fp32"
        assert predictor.passed_over["ov-fp32"] == "no openvino here."


def test_records_that_another_version_wrote_hinder_nothing(bundle):
    add(bundle, "bench", [{"called": "otherwise"}])
    add(bundle, "verify", "nothing")
    assert chosen(bundle)[0] == "ort-fp32"


def test_what_verify_and_bench_write_is_what_is_read(short_bench, bundle):
    """The real commands' records, not the ones above."""
    photographs = bundle / "selftest"
    labels = photographs / "labels.csv"
    labels.write_text("path,labels\nred.jpg,red\nteal.jpg,green;blue\ngrey.jpg,bright\n")
    verdict = runtime.verify(bundle, labels, artifacts=["ov-fp32"], decode="reduced").artifacts[0].verdict
    measured = runtime.benchmark(bundle, artifacts=["ov-fp32"], preset="demo").artifacts[0]
    found = evidence(open_bundle(bundle), "reduced")
    assert found.here["ov-fp32"].verdict == verdict
    assert found.benches["ov-fp32"][0].p90_ms == (None if measured.disturbed else measured.p90_ms)
    assert not evidence(open_bundle(bundle), "full").here
