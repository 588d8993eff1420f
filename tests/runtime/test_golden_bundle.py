"""A bundle that the first version of schema 1 wrote stays readable, and what later versions add does no harm."""

import dataclasses
import hashlib
import json
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgedistill import runtime
from edgedistill.runtime.backends.base import BACKENDS
from edgedistill.runtime.bundle import MANIFEST, latest_run, open_bundle, read_runs
from edgedistill.runtime.bundle.selection import open_artifact, try_artifact
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.errors import BundleError, ConfigError, EdgedistillError
from edgedistill.runtime.record import Record

DEVICE = "intel-xeon-x86_64"
GOLDEN = Path(__file__).parents[1] / "golden"


def test_the_golden_bundle_opens_and_proves_itself(golden_copy, tmp_path):
    root = golden_copy(tmp_path / "b")
    report = runtime.selftest(root, backend="onnxruntime")
    assert [(one.name, one.verdict) for one in report.artifacts] == [("ort-fp32", "passed")]
    with runtime.load(root, backend="onnxruntime") as predictor:
        assert predictor.predict(root / "selftest" / "red.jpg")[0].labels.keys() == {"red"}
    manifest = open_bundle(root).manifest
    assert manifest.artifacts[0].parity.runner == ""  # it was not recorded then
    assert manifest.artifacts[0].target.limits.max_map_drop is None  # gates were written as nulls then


def test_its_reference_logits_are_read(golden_copy, tmp_path):
    bundle = open_bundle(golden_copy(tmp_path / "b"))
    (reference,) = bundle.manifest.references
    logits = bundle.reference_logits(reference.fingerprint)
    assert (logits.dtype, logits.shape) == (np.float32, (12, 4))
    assert bundle.reference_logits("another") is None


def test_its_results_are_read_as_they_were_written(golden_copy, tmp_path):
    root = golden_copy(tmp_path / "b")
    runs = read_runs(root)[DEVICE]
    assert [run.kind for run in runs] == ["verify", "bench"]
    written = json.loads((root / "results" / f"{DEVICE}.json").read_text(encoding="utf-8"))["runs"]
    assert [json.loads(bytes(run.report)) for run in runs] == [run["report"] for run in written]
    assert [run.created for run in runs] == [run["created"] for run in written]


class Kept(Record):
    """What reports had from the beginning."""

    dataset: str
    images: int


class Later(Record):
    joules: float


def test_an_old_report_decodes_or_says_that_it_must_be_measured_again(golden_copy, tmp_path):
    run = latest_run(golden_copy(tmp_path / "b"), "verify", DEVICE)
    assert run.decode(Kept) == Kept(dataset="flat", images=12)
    with pytest.raises(
        BundleError, match=r"^the verify run of 2026-11-29T10:22:49\+00:00 .*`joules`.*: run it again\.$"
    ):
        run.decode(Later)


def test_new_results_lie_beside_the_old(golden_copy, tmp_path):
    root = golden_copy(tmp_path / "b")
    before = (root / "results" / f"{DEVICE}.json").read_bytes()
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
    labels = np.random.default_rng(1).integers(0, 2, (8, 4)).astype(np.int8)
    data = Dataset("d", ("red", "green", "blue", "bright"), tuple("abcdefgh"), list(images), labels)
    report = runtime.verify(root, data, backend="onnxruntime")
    assert report.saved
    assert (root / "results" / f"{DEVICE}.json").read_bytes() == before
    runs = [run for found in read_runs(root).values() for run in found]
    assert sorted(run.kind for run in runs) == ["bench", "verify", "verify"]


def from_the_future(manifest: dict) -> None:
    """Fields that no version knows at every place, and an artifact whose every word is unknown."""

    def mark(value: object) -> None:
        if isinstance(value, list):
            for inner in value:
                mark(inner)
        elif isinstance(value, dict):
            for inner in [inner for key, inner in value.items() if key not in ("details", "toolchain")]:
                mark(inner)
            value["from_the_future"] = {"deep": [1, None, "ö"]}

    mark(manifest)
    target = {"name": "new", "backend": "quantum", "precision": "fp3", "gates": {"max_joules": 2}, "bench": "eternal"}
    manifest["artifacts"].append(
        {
            "name": "new",
            "target": target,
            "files": manifest["artifacts"][0]["files"],
            "status": "blessed",
            "format": "q",
        }
    )
    manifest["artifacts"][0]["target"]["gates"] = {"max_joules": {"value": 2, "unit": "J"}, "max_bytes": 10_000}
    manifest["label_groups"] = [{"name": "colour", "kind": "exclusive", "classes": ["red", "green", "blue"]}]


@pytest.fixture
def future(golden_copy, tmp_path):
    return golden_copy(tmp_path / "future", from_the_future)


def test_unknown_fields_kinds_and_words_do_no_harm(future):
    manifest = open_bundle(future).manifest
    assert manifest.artifacts[-1].status == "blessed"
    assert manifest.artifacts[0].target.unknown_gates == ("max_joules",)
    assert manifest.artifacts[0].target.limits.max_bytes == 10_000
    report = runtime.selftest(future, artifacts=["ort-fp32", "new"])
    known, unknown = report.artifacts
    assert (known.verdict, unknown.verdict, report.verdict) == ("passed", "could not run", "passed")
    assert unknown.sentence.startswith("cannot run here: this edgedistill does not know the backend 'quantum'.")


def test_an_unknown_precision_of_a_known_backend_cannot_run_here(golden_copy, tmp_path):
    root = golden_copy(tmp_path / "b", lambda m: m["artifacts"][0]["target"].update(precision="fp3"))
    with pytest.raises(EdgedistillError, match="cannot run here: this edgedistill does not know the precision 'fp3'"):
        runtime.selftest(root, artifacts=["ort-fp32"])


def test_an_unknown_device_word_of_a_manifest_cannot_run_here(golden_copy, tmp_path):
    root = golden_copy(tmp_path / "b", lambda m: m["artifacts"][0]["target"].update(device="npu9000"))
    bundle = open_bundle(root)
    found = try_artifact(bundle, bundle.manifest.artifacts[0])
    assert found.reason.startswith("cannot run here: unknown onnxruntime device 'npu9000'")
    assert not found.refused
    with pytest.raises(ConfigError, match="unknown onnxruntime device 'gnu'"):  # what the caller asked for is an error
        open_artifact(bundle, bundle.manifest.artifacts[0], device="gnu")


def test_inspect_prints_unknown_fields_unchanged(future, command):
    code, out, _ = command("inspect", future, "--json")
    assert code == 0
    assert json.loads(out) == json.loads((future / MANIFEST).read_text(encoding="utf-8"))
    code, out, _ = command("inspect", future)
    assert code == 0
    assert "fp3" in out


def test_unknown_fields_travel_in_a_zip(future, tmp_path):
    before = (future / MANIFEST).read_bytes()
    packed = runtime.zip_bundle(open_bundle(future), tmp_path / "b.zip")
    shutil.rmtree(future)
    assert open_bundle(packed).manifest_bytes == before


def test_an_output_that_the_graph_has_and_the_manifest_does_not_is_carried(golden_copy, tmp_path):
    bundle = open_bundle(golden_copy(tmp_path / "b"))
    model = bundle.model(bundle.manifest.artifacts[0])
    with BACKENDS.get("onnxruntime")(dataclasses.replace(model, outputs=model.outputs[1:])) as backend:
        assert [spec.name for spec in backend.outputs] == ["logits", "probabilities"]
        assert list(backend.infer(np.zeros((1, 16, 16, 3), np.uint8))) == ["probabilities"]


def test_an_output_of_a_newer_version_is_carried_and_not_judged(golden_copy, tmp_path):
    onnx = pytest.importorskip("onnx", reason="the lowest-versions step has only the runtime's dependencies")
    root = golden_copy(tmp_path / "b")
    path = root / "onnx" / "model.fp32.onnx"
    model = onnx.load(path)
    model.graph.node.append(onnx.helper.make_node("Relu", ["means"], ["embedding"]))
    model.graph.output.append(onnx.helper.make_tensor_value_info("embedding", onnx.TensorProto.FLOAT, ["batch", 3]))
    onnx.save(model, path)
    manifest = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
    manifest["outputs"].append({"name": "embedding", "dtype": "float32", "shape": ["batch", 3], "kind": "embedding"})
    del manifest["artifacts"][1:]
    data = path.read_bytes()
    manifest["artifacts"][0]["files"][0].update(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    (root / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    assert runtime.selftest(root).passed
    with runtime.load(root) as predictor:
        assert predictor.predict(root / "selftest" / "red.jpg")[0].labels.keys() == {"red"}


def test_a_resize_of_a_newer_version_is_refused_by_its_name(golden_copy, tmp_path):
    root = golden_copy(tmp_path / "b", lambda m: m["preprocessing"].update(resize="seam_carving"))
    with pytest.raises(BundleError, match=r"seam_carving.*preprocessing\.resize.*pip install -U edgedistill"):
        open_bundle(root)


def test_the_golden_graph_is_what_its_script_writes(tmp_path):
    onnx = pytest.importorskip("onnx", reason="the lowest-versions step has only the runtime's dependencies")
    write_onnx = runpy.run_path(str(GOLDEN / "tiny_graph.py"))["write_onnx"]
    weights = np.array([[8, -4, -4, 3], [-4, 8, -4, 3], [-4, -4, 8, 3]], np.float32)
    write_onnx(tmp_path / "model.onnx", weights, np.array([0.5, 0.25, -0.25, -4.0], np.float32))
    path = GOLDEN / "bundle_schema_1" / "onnx" / "model.fp32.onnx"
    assert onnx.load(tmp_path / "model.onnx").graph == onnx.load(path).graph
