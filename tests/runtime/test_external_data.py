"""An ONNX file with its weights in another file: used only where the manifest lists that one, and as it was hashed."""

import hashlib
import json

import pytest

from edgedistill import runtime
from edgedistill.runtime.bundle import open_bundle
from edgedistill.runtime.bundle.selection import open_artifact, try_artifact
from edgedistill.runtime.errors import BundleError

onnx = pytest.importorskip("onnx", reason="the lowest-versions step has only the runtime's dependencies")


@pytest.fixture
def split(golden_copy, tmp_path):
    """The golden bundle with its onnxruntime artifact's weights in onnx/weights.bin, and its manifest as JSON."""
    root = golden_copy(tmp_path / "b")
    path = root / "onnx" / "model.fp32.onnx"
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=70)  # of the matrix alone
    return root, json.loads((root / "manifest.json").read_text(encoding="utf-8"))


def write(root, manifest, *listed: str) -> None:
    """List files, as they are now, for the first artifact."""
    entries = []
    for name in listed:
        data = (root / name).read_bytes()
        entries.append({"path": name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)})
    manifest["artifacts"] = [{**manifest["artifacts"][0], "files": entries}]
    (root / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def test_listed_weights_are_used(split):
    root, manifest = split
    write(root, manifest, "onnx/model.fp32.onnx", "onnx/weights.bin")
    assert runtime.selftest(root).passed


def test_unlisted_weights_are_refused_though_they_are_there(split):
    root, manifest = split
    write(root, manifest, "onnx/model.fp32.onnx")
    bundle = open_bundle(root)
    with pytest.raises(BundleError, match="wants its weights from 'weights.bin', which is not listed beside it"):
        open_artifact(bundle, bundle.manifest.artifacts[0])


def test_weights_that_were_altered_after_the_bundle_was_opened_are_not_used(split):
    root, manifest = split
    write(root, manifest, "onnx/model.fp32.onnx", "onnx/weights.bin")
    bundle = open_bundle(root)
    weights = root / "onnx" / "weights.bin"
    weights.write_bytes(bytes(byte ^ 1 for byte in weights.read_bytes()))
    found = try_artifact(bundle, bundle.manifest.artifacts[0])
    assert found.refused
    assert "weights.bin: its SHA-256 differs from the manifest" in found.reason


def test_weights_that_change_while_it_runs_change_nothing(split):
    root, manifest = split
    write(root, manifest, "onnx/model.fp32.onnx", "onnx/weights.bin")
    with runtime.load(root) as predictor:
        before = predictor.scores(root / "selftest" / "red.jpg")
        weights = root / "onnx" / "weights.bin"
        weights.write_bytes(bytes(len(weights.read_bytes())))
        assert (predictor.scores(root / "selftest" / "red.jpg") == before).all()


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/passwd", "../../elsewhere/w"])
def test_weights_outside_of_the_bundle_are_refused(split, location):
    root, manifest = split
    path = root / "onnx" / "model.fp32.onnx"
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(model.SerializeToString())
    (root / "onnx" / "weights.bin").rename(root / "weights.bin")
    write(root, manifest, "onnx/model.fp32.onnx", "weights.bin")
    bundle = open_bundle(root)
    with pytest.raises(BundleError, match="which is not listed beside it: not loaded"):
        open_artifact(bundle, bundle.manifest.artifacts[0])
