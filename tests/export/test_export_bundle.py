"""One real bundle, built by every toolchain that is installed here."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from residual_network import CONVOLUTIONS

from edgedistill.distill.checkpoint import save_student
from edgedistill.export.builders import Built
from edgedistill.export.conversions.onnx_check import count_nodes
from edgedistill.export.probes import Probes, framework_logits
from edgedistill.export.proving import check_artifact
from edgedistill.export.repeating import _could_be_better
from edgedistill.runtime import selftest
from edgedistill.runtime.backends.base import BACKENDS
from edgedistill.runtime.bundle import open_bundle
from edgedistill.runtime.errors import BundleError
from edgedistill.runtime.model_file import load_file
from edgedistill.runtime.predictor import load
from edgedistill.runtime.preprocess import load as load_image

RUNNABLE = ("onnxruntime-cpu-fp32", "openvino-cpu-fp32")


def artifact_of(bundle, name):
    return next(artifact for artifact in bundle.manifest.artifacts if artifact.name == name)


def test_the_layout_is_the_documented_one(exported):
    bundle, _ = exported
    files = {path.relative_to(bundle.root).as_posix() for path in bundle.root.rglob("*") if path.is_file()}
    assert files == {
        "manifest.json",
        "README.md",
        "example.py",
        "onnx/model.fp32.onnx",
        "openvino/model.fp32.xml",
        "openvino/model.fp32.bin",
        "openvino/model.fp16.b1.xml",
        "openvino/model.fp16.b1.bin",
        "tensorrt/model.fp16.engine",
        "tensorrt/model.fp32.engine",
        "selftest/00.jpg",
        "selftest/01.jpg",
        "selftest/02.jpg",
        "selftest/03.png",
        "selftest/turned.jpg",
        "reference/my-test-split.npy",
    }
    assert [path.name for path in bundle.root.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("name", RUNNABLE)
def test_fp32_artifacts_are_verified_within_a_thousandth(exported, name):
    artifact = artifact_of(exported[0], name)
    assert (artifact.status, artifact.reason) == ("verified", "")
    assert artifact.parity.images == 21  # five golden ones (one on its side is added) and sixteen of the split
    assert artifact.parity.runner.split()[0] == name.split("-")[0]
    assert artifact.parity.max_abs_logit <= 1e-3


@pytest.mark.parametrize("file", ["onnx/model.fp32.onnx", "openvino/model.fp32.xml"])
def test_a_file_alone_is_used_as_in_its_bundle(exported, photographs, file):
    bundle, _ = exported
    backend = file.split("/")[0].replace("onnx", "onnxruntime")
    with load_file(bundle.root / file) as alone, load(bundle.root, backend=backend) as whole:
        for key in ("classes", "preprocessing", "input", "thresholds"):
            assert getattr(alone.manifest, key) == getattr(whole.manifest, key)
        for own, other in zip(alone.predict(photographs), whole.predict(photographs), strict=True):
            assert own.labels == pytest.approx(other.labels, abs=1e-6)


def test_the_page_reads_a_file_s_own_facts(exported, capsys):
    bundle, _ = exported
    page = (Path(__file__).parents[2] / "docs" / "bundle.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(import json, onnxruntime\n.*?)```", page, re.DOTALL)
    exec(code.replace('"bundle/', f'"{bundle.root.as_posix()}/'), {})
    assert capsys.readouterr().out.splitlines() == [
        "[64, 64] uint8_nhwc",
        str(dict(zip(bundle.manifest.classes, bundle.manifest.thresholds, strict=True))),
    ]


AGAIN = f"""
import sys
from edgedistill.export import export_bundle
sys.path.insert(0, {str(Path(__file__).parent)!r})
import residual_network
export_bundle(sys.argv[1], sys.argv[3:], sys.argv[2])
"""


@pytest.mark.slow
def test_another_process_makes_the_same_bytes_or_the_manifest_says_that_it_does_not(exported, student, tmp_path):
    bundle, _ = exported
    names = ("onnxruntime-cpu-fp32", "onnxruntime-webgpu-fp16", "openvino-cpu-fp32", "openvino-npu-fp16")
    save_student(tmp_path / "student.safetensors", student.model, student.card)
    made = []
    for seed in "12":  # of hashes; two, since this process is no fresh one for what counts its conversions
        command = [sys.executable, "-c", AGAIN, tmp_path / "student.safetensors", tmp_path / seed, *names]
        subprocess.run(command, check=True, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True)
        made.append({entry.path: entry.sha256 for entry in open_bundle(tmp_path / seed).manifest.files()})
    first, again = made
    shared = [path for path in first if path.startswith(("onnx/", "openvino/"))]
    assert len(shared) == 6
    assert [path for path in shared if first[path] != again[path]] == []
    engine = artifact_of(bundle, "tensorrt-gpu-fp16")
    assert engine.details["onnx_sha256"] == again["onnx/model.fp16.onnx"]
    assert engine.details["reproducible"].startswith("no: ")


def test_what_has_no_device_here_is_built_and_its_file_judged_by_another(exported):
    bundle, _ = exported
    npu, wasm = (artifact_of(bundle, name) for name in ("openvino-npu-fp16", "onnxruntime-wasm-fp32"))
    assert (npu.status, wasm.status) == ("built_not_run", "built_not_run")
    assert "openvino finds no device NPU here" in npu.reason
    assert "the device 'wasm' is a browser's" in wasm.reason
    whole = artifact_of(bundle, "onnxruntime-cpu-fp32")
    assert wasm.files == whole.files
    assert wasm.parity is None
    assert wasm.surrogate.runner == f"{whole.parity.runner} on cpu"
    assert wasm.surrogate.max_abs_logit == pytest.approx(whole.parity.max_abs_logit)
    assert npu.surrogate.runner.startswith("openvino ")
    assert npu.surrogate.runner.endswith(" on cpu")
    # Asking again would build the same: the device is still not here.
    assert not any(map(_could_be_better, (npu, wasm)))


def test_an_engine_for_a_jetson_says_where_it_is_built(exported):
    orin = artifact_of(exported[0], "tensorrt-orin-fp16")
    assert (orin.status, orin.files) == ("failed", ())
    assert "builds nothing for SM 8.7 (`compute_capabilities` of tensorrt-orin-fp16): it knows SM" in orin.reason
    assert orin.reason.endswith("ship the ONNX file to it (backend onnxruntime, device cuda).")


def test_a_surrogate_that_disagrees_fails_the_file(exported):
    bundle, _ = exported
    wasm = artifact_of(bundle, "onnxruntime-wasm-fp32")
    probes = Probes(np.zeros((2, 64, 64, 3), np.uint8), np.full((2, 5), 100, np.float32))
    unknown = msgspec.structs.replace(wasm, surrogate=None)
    judged = check_artifact(bundle, unknown, probes, Built((), "onnx"))
    assert (judged.status, judged.files, judged.surrogate) == ("failed", (), None)
    assert judged.reason.startswith("run on cpu in place of wasm: its logits differ")


def test_bf16_shares_the_fp32_file(exported):
    bundle, _ = exported
    bf16 = artifact_of(bundle, "openvino-cpu-bf16")
    assert bf16.files == artifact_of(bundle, "openvino-cpu-fp32").files
    # Where the CPU lacks bf16, OpenVINO computes in float32: that agrees too.
    assert bf16.status == "verified"


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_tensorrt_engines_are_really_built_and_say_why_they_were_not_run(exported, precision):
    artifact = artifact_of(exported[0], f"tensorrt-gpu-{precision}")
    assert artifact.size > 100_000
    assert artifact.details["flavour"] in ("tensorrt", "tensorrt_rtx")
    assert artifact.details["version"]
    assert len(artifact.details["onnx_sha256"]) == 64
    if BACKENDS.get("tensorrt").unavailable():
        assert artifact.status == "built_not_run"
        assert "GPU" in artifact.reason
        assert artifact.details["compute_capabilities"] == "portable"


@pytest.mark.parametrize("name", RUNNABLE)
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_any_batch_size_runs_through_the_runtime(exported, student, name, batch):
    bundle, _ = exported
    images = np.random.default_rng(batch).integers(0, 256, (batch, 64, 64, 3), dtype=np.uint8)
    with load(bundle, name=name) as predictor:
        logits, _ = predictor.infer(images)
    np.testing.assert_allclose(logits, framework_logits(student.model, images), atol=1e-3)


def test_golden_images_are_the_original_bytes_and_prove_the_artifacts(exported, photographs, student):
    bundle, _ = exported
    for golden, source in zip(bundle.manifest.selftest, photographs, strict=False):
        assert bundle.read(golden.file) == source.read_bytes()
        image = load_image(source, student.card.preprocessing)[None]
        np.testing.assert_allclose(golden.logits, framework_logits(student.model, image)[0], atol=1e-4)
    passed = {artifact.name for artifact in selftest(bundle).artifacts if artifact.passed}
    assert passed >= {*RUNNABLE, "openvino-cpu-bf16"}


def test_reference_logits_belong_to_their_split_only(exported, split):
    bundle, _ = exported
    dataset, logits = split
    np.testing.assert_array_equal(bundle.reference_logits(dataset.fingerprint()), logits)
    assert bundle.reference_logits(dataset.subset([0, 1]).fingerprint()) is None


def test_the_manifest_says_where_everything_comes_from(exported, student):
    manifest = exported[0].manifest
    card = student.card
    assert (manifest.name, manifest.classes, manifest.thresholds) == (card.name, card.classes, card.thresholds)
    assert manifest.preprocessing == card.preprocessing
    assert manifest.inputs[0].shape == ("batch", 64, 64, 3)
    assert [output.name for output in manifest.outputs] == ["logits", "probabilities"]
    provenance = manifest.provenance
    assert provenance.checkpoint_sha256 == hashlib.sha256(student.path.read_bytes()).hexdigest()
    assert provenance.recipe_sha256 == card.recipe_sha256
    assert {"torch", "onnx", "onnxruntime", "openvino"} <= set(provenance.toolchain)
    details = manifest.artifacts[0].details
    assert int(details["onnx_nodes"]) == count_nodes(exported[0].root / "onnx" / "model.fp32.onnx")
    assert int(details["onnx_nodes_before_onnxsim"]) >= int(details["onnx_nodes"]) > CONVOLUTIONS


def test_progress_counts_every_step_once(exported):
    numbers = dict.fromkeys((step, total) for step, total, _ in exported[1])  # a long one says what it is at
    assert list(numbers) == [(i + 1, 13) for i in range(13)]


def test_the_zip_is_the_same_bundle(exported):
    bundle, _ = exported
    archived = open_bundle(bundle.root.with_name("bundle.zip"))
    assert archived.manifest == bundle.manifest
    for artifact in archived.manifest.artifacts:
        for entry in artifact.files:
            assert archived.read(entry) == bundle.read(entry)


@pytest.mark.parametrize("name", RUNNABLE)
def test_a_tampered_artifact_is_refused(exported, tmp_path, name):
    root = tmp_path / "tampered"
    shutil.copytree(exported[0].root, root)
    path = root / artifact_of(exported[0], name).files[-1].path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match="SHA-256 differs"):
        load(open_bundle(root), name=name)


def test_the_bundle_runs_where_torch_is_not_imported(exported):
    code = (
        "import sys; from edgedistill.runtime import load; bundle, image = sys.argv[1:]; "
        "print(load(bundle, name='onnxruntime-cpu-fp32').scores([image]).shape); "
        "assert not {'torch', 'onnx', 'timm'} & set(sys.modules)"
    )
    root = exported[0].root
    done = subprocess.run(
        [sys.executable, "-c", code, str(root), str(root / "selftest" / "00.jpg")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(1, 5)"
