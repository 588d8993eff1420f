"""The library against ONNX Runtime's C++ package, where one is named, with sanitizers."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from cpp_built import ONNXRUNTIME

from edgedistill import runtime

TINY_ORT = Path(__file__).parents[1] / "golden" / "ort" / "tiny.ort"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not ONNXRUNTIME, reason="EDGEDISTILL_ONNXRUNTIME_CPP: the folder of an archive of its release"),
]


def test_labels_and_scores_are_pythons(sanitized, tiny_bundle):
    bundle = sanitized.app / "bundle"
    assert sanitized.predict(bundle, "--selftest").stdout.startswith("ort-fp32: passed: 3 photographs")
    photographs = sorted((tiny_bundle / "selftest").glob("*.jpg"))
    with runtime.load(tiny_bundle, name="ort-fp32") as predictor:
        expected = predictor.predict(photographs)
    lines = sanitized.predict(bundle, *photographs).stdout.splitlines()
    for line, one in zip(map(json.loads, lines), expected, strict=True):
        assert list(line["labels"]) == list(one.labels)
        assert all(abs(line["labels"][name] - score) < 1e-6 for name, score in one.labels.items())


def test_an_ort_file_is_run_too(sanitized, golden_copy, tmp_path):
    def alter(manifest: dict) -> None:
        data = TINY_ORT.read_bytes()
        entry = {"path": "ort/model.ort", "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        manifest["artifacts"][0] |= {"format": "ort", "files": [entry]}

    bundle = golden_copy(tmp_path / "bundle", alter)
    (bundle / "ort").mkdir()
    shutil.copyfile(TINY_ORT, bundle / "ort" / "model.ort")
    assert sanitized.predict(bundle, "--selftest").stdout.startswith("ort-fp32: passed: 3 photographs")
    (bundle / "ort" / "model.ort").write_bytes(TINY_ORT.read_bytes()[:-1])
    run = sanitized.predict(bundle, "--selftest", "--artifact", "ort-fp32")
    assert run.returncode == 1
    assert "truncated" in run.stderr


def test_threads_share_a_predictor(sanitized):
    bundle = sanitized.app / "bundle"
    lines = sanitized.probe("threads", f"{bundle}\n{bundle / 'selftest' / 'red.jpg'}\n".encode()).decode().splitlines()
    assert len(lines) == 8
    assert len(set(lines)) == 1


def test_what_cannot_run_is_told(sanitized):
    bundle = sanitized.app / "bundle"
    run = sanitized.predict(bundle, bundle / "selftest" / "red.jpg", "--artifact", "ov-fp32")
    assert run.returncode == 1
    assert "built without the backend openvino" in run.stderr
    (bundle / "onnx" / "model.fp32.onnx").rename(bundle / "moved")
    run = sanitized.predict(bundle, bundle / "selftest" / "red.jpg")
    (bundle / "moved").rename(bundle / "onnx" / "model.fp32.onnx")
    assert "model.fp32.onnx: is missing" in run.stderr
    assert run.stderr.count("\n") == 1
