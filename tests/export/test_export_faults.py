"""What can go wrong in an export, and what is then left on the disk. The tracing is done once and reused."""

import errno
import importlib
import os
import shutil
import sys
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import residual_network

from edgedistill.export import ExportError, export_bundle, proving
from edgedistill.export.builders import BUILDERS
from edgedistill.export.builders import openvino as openvino_module
from edgedistill.export.child import run_in_child
from edgedistill.export.comparing import compare
from edgedistill.export.conversions import CONVERSIONS
from edgedistill.export.conversions import onnx_fp32 as export_module
from edgedistill.export.conversions import simplifying as simplify_module
from edgedistill.export.conversions.onnx_check import check_and_run, require_modules
from edgedistill.export.conversions.simplifying import Simplified
from edgedistill.export.probes import framework_logits, make_probes
from edgedistill.export.sources.pytorch import from_student
from edgedistill.export.staging import staged_bundle
from edgedistill.runtime.backends.base import BACKENDS
from edgedistill.runtime.bundle import open_bundle
from edgedistill.runtime.errors import ConfigError, DataError, MissingDependencyError
from edgedistill.runtime.preprocess import load
from edgedistill.runtime.targets import Target, load_target
from edgedistill.runtime.tensors import BatchRange

from . import child_jobs as jobs

ORT = "onnxruntime-cpu-fp32"
OPENVINO = "openvino-cpu-fp32"


@pytest.fixture
def traced(trace):
    return trace(residual_network.NAME)[1]


@pytest.fixture
def quick(monkeypatch, traced):
    """Tracing and simplifying give the student's graph of the session, and artifacts run in this process: a moment."""

    def export_onnx(graph, image, path, **options):
        return shutil.copyfile(traced, path)

    monkeypatch.setattr(export_module, "export_onnx", export_onnx)

    def run_here(function, *arguments, what):
        return function(*msgspec.json.decode(msgspec.json.encode(arguments, enc_hook=str)))

    monkeypatch.setattr(export_module, "check_and_simplify", lambda path, out, *_: Simplified(path, 1, 1))
    monkeypatch.setattr(proving, "run_in_child", run_here)


def statuses(bundle):
    return {artifact.name: artifact.status for artifact in bundle.manifest.artifacts}


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_missing_toolchain_fails_its_target_only(quick, student, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    bundle = export_bundle(student, [ORT, OPENVINO], tmp_path / "b")
    assert statuses(bundle) == {ORT: "verified", OPENVINO: "failed"}
    failed = bundle.manifest.artifacts[1]
    assert failed.files == ()
    assert "edgedistill[openvino]" in failed.reason


def test_a_failing_conversion_fails_only_the_targets_that_need_it(quick, student, tmp_path, monkeypatch):
    tries = []

    def refuse(ingredients):
        tries.append(1)
        raise ExportError("onnx.fp16: the converter refuses the graph.")

    monkeypatch.setitem(CONVERSIONS._entries, "onnx.fp16", refuse)
    halves = [Target(name=name, backend="onnxruntime", precision="fp16") for name in ("half", "other-half")]
    bundle = export_bundle(student, [*halves, ORT], tmp_path / "b")
    assert statuses(bundle) == {"half": "failed", "other-half": "failed", ORT: "verified"}
    assert bundle.manifest.artifacts[0].reason == "onnx.fp16: the converter refuses the graph."
    assert len(tries) == 1
    with pytest.raises(ExportError, match=r"built. half, other-half: onnx.fp16: the converter refuses the graph.$"):
        export_bundle(student, halves, tmp_path / "none")
    assert leftovers(tmp_path) == ["b"]


def test_an_untraceable_student_is_one_clear_error(student, tmp_path, monkeypatch):
    tries = []

    def export_onnx(graph, image, path, **options):
        tries.append(1)
        raise ExportError("the network cannot be traced.")

    monkeypatch.setattr(export_module, "export_onnx", export_onnx)
    with pytest.raises(ExportError) as raised:
        export_bundle(student, [ORT, OPENVINO], tmp_path / "b")
    assert str(raised.value) == f"no artifact could be built. {ORT}, {OPENVINO}: the network cannot be traced."
    assert (len(tries), leftovers(tmp_path)) == (1, [])


def test_no_artifact_at_all_is_an_error_and_leaves_nothing(quick, student, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ExportError, match=r"no artifact could be built. openvino-cpu-fp32: openvino is not installed"):
        export_bundle(student, [OPENVINO], tmp_path / "b")
    assert leftovers(tmp_path) == []


def test_without_tensorrt_the_reason_names_both_ways_to_get_it(quick, student, tmp_path, monkeypatch):
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)
    bundle = export_bundle(student, [ORT, "tensorrt-gpu-fp16"], tmp_path / "b")
    assert statuses(bundle)["tensorrt-gpu-fp16"] == "failed"
    assert "edgedistill[tensorrt]" in bundle.manifest.artifacts[1].reason


def test_an_sm_version_that_cannot_be_built_for_is_named(quick, student, tmp_path):
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX has wheels for x86-64 Linux and Windows only")
    target = Target(name="orin", backend="tensorrt", precision="fp16", device="cuda:0", compute_capabilities=["8.7"])
    bundle = export_bundle(student, [ORT, target], tmp_path / "b")
    assert "SM 8.7" in bundle.manifest.artifacts[1].reason


def test_engines_of_one_precision_do_not_overwrite_each_other(quick, student, tmp_path):
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX has wheels for x86-64 Linux and Windows only")
    targets = [
        Target(name=name, backend="tensorrt", precision="fp16", device="cuda:0", compute_capabilities=[sm])
        for name, sm in (("ampere", "8.6"), ("ada", "8.9"))
    ]
    one, two = export_bundle(student, targets, tmp_path / "b").manifest.artifacts
    assert one.files[0].path != two.files[0].path
    assert (one.details["compute_capabilities"], two.details["compute_capabilities"]) == ("8.6", "8.9")


def test_an_artifact_that_disagrees_is_failed_and_does_not_ship(quick, student, tmp_path, monkeypatch):
    real = openvino_module.run_in_child

    def wrong(function, source, *arguments, **options):
        model = onnx.load(source)
        bias = next(entry for entry in model.graph.initializer if entry.name.endswith("head.linear.bias"))
        shifted = onnx.numpy_helper.to_array(bias) + np.float32(0.5)
        bias.CopyFrom(onnx.numpy_helper.from_array(shifted, bias.name))
        onnx.save(model, tmp_path / "wrong.onnx")
        return real(function, tmp_path / "wrong.onnx", *arguments, **options)

    monkeypatch.setattr(openvino_module, "run_in_child", wrong)
    bundle = export_bundle(student, [ORT, OPENVINO], tmp_path / "b")
    failed = bundle.manifest.artifacts[1]
    assert (failed.status, failed.files) == ("failed", ())
    assert "differ from the network's own by up to 0.5" in failed.reason
    assert failed.parity.max_abs_logit == pytest.approx(0.5, abs=0.01)
    assert not (bundle.root / "openvino").exists()


KILLER = """
import ctypes
from edgedistill.runtime.backends.base import BACKENDS, Backend

@BACKENDS.register("killer")
class Killer(Backend):
    @classmethod
    def library(cls):
        return ctypes

    def _load(self):
        ctypes.string_at(0)
"""


def test_a_library_that_crashes_on_its_artifact_fails_that_artifact_only(quick, student, tmp_path, monkeypatch):
    site = tmp_path / "site"
    (site / "killer-1.dist-info").mkdir(parents=True)
    (site / "killer.py").write_text(KILLER)
    (site / "killer-1.dist-info" / "METADATA").write_text("Name: killer\nVersion: 1\n")
    (site / "killer-1.dist-info" / "entry_points.txt").write_text("[edgedistill.backends]\nkiller = killer\n")
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)  # the child is a Python of its own
    monkeypatch.setattr(proving, "run_in_child", run_in_child)
    monkeypatch.setattr(BACKENDS, "_entries", dict(BACKENDS._entries))
    importlib.import_module("killer")
    monkeypatch.setitem(BUILDERS._entries, "killer", BUILDERS.get("onnxruntime"))
    bundle = export_bundle(student, [Target(name="killed", backend="killer", precision="fp32"), ORT], tmp_path / "b")
    assert statuses(bundle) == {"killed": "failed", ORT: "verified"}
    assert bundle.manifest.artifacts[0].reason == "it cannot be run: its process crashed with SIGSEGV."


def test_a_device_that_is_not_here_is_built_not_run(quick, student, tmp_path):
    target = Target(name="npu", backend="openvino", precision="fp16", device="npu")
    artifact = export_bundle(student, [target], tmp_path / "b").manifest.artifacts[0]
    assert artifact.status == "built_not_run"
    assert "NPU" in artifact.reason
    assert [entry.path for entry in artifact.files] == ["openvino/model.fp16.xml", "openvino/model.fp16.bin"]


def test_onnxruntime_fp16_and_a_fixed_batch(quick, student, tmp_path):
    target = Target(name="half", backend="onnxruntime", precision="fp16", batch=BatchRange(min=3, typical=3, max=3))
    artifact = export_bundle(student, [target], tmp_path / "b").manifest.artifacts[0]
    assert artifact.status == "verified", artifact.reason
    assert [entry.path for entry in artifact.files] == ["onnx/model.fp16.b3.onnx"]


def test_arrays_become_jpeg_files_whose_decoded_pixels_count(quick, student, tmp_path):

    noise = np.random.default_rng(3).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    bundle = export_bundle(student, [ORT], tmp_path / "b", golden=[noise])
    golden = bundle.manifest.selftest[0]
    pixels = load(bundle.read(golden.file), student.card.preprocessing)
    assert golden.file.path == "selftest/00.jpg"
    assert (pixels != noise).any()
    np.testing.assert_allclose(golden.logits, framework_logits(student.model, pixels[None])[0], atol=1e-4)


def test_a_bundle_is_replaced_and_its_old_results_go_with_it(quick, student, tmp_path):
    out = tmp_path / "b"
    export_bundle(student, [ORT], out, name="first")
    (out / "results").mkdir()
    (out / "results" / "device.json").write_text('{"schema_version": 1, "runs": []}')
    export_bundle(student, [ORT], out, name="second")
    assert open_bundle(out).manifest.name == "second"
    assert not (out / "results").exists()
    assert leftovers(tmp_path) == ["b"]


def test_the_current_folder_and_a_foreign_zip(quick, student, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    (tmp_path / "here.zip").write_text("years of work")
    with pytest.raises(ExportError, match=r"here\.zip: is no bundle's \.zip"):
        export_bundle(student, [ORT], ".", zip=True)
    assert (leftovers(here), (tmp_path / "here.zip").read_text()) == ([], "years of work")
    (tmp_path / "here.zip").unlink()
    export_bundle(student, [ORT], ".", zip=True)
    assert open_bundle(here).manifest == open_bundle(tmp_path / "here.zip").manifest
    assert leftovers(tmp_path) == ["here", "here.zip"]


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_an_interrupted_export_leaves_the_old_bundle_and_no_rubbish(quick, student, tmp_path, monkeypatch, fault):
    out = tmp_path / "b"
    export_bundle(student, [ORT], out, name="first")

    def broken(self, target, ingredients):
        raise fault

    monkeypatch.setattr(BUILDERS.get("onnxruntime"), "build", broken)
    expected = KeyboardInterrupt if isinstance(fault, KeyboardInterrupt) else ExportError
    with pytest.raises(expected):
        export_bundle(student, [ORT], out, name="second")
    assert open_bundle(out).manifest.name == "first"
    assert leftovers(tmp_path) == ["b"]


def test_a_folder_that_is_no_bundle_is_never_replaced(student, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ExportError, match="not empty, and no bundle"):
        export_bundle(student, [ORT], tmp_path)
    with pytest.raises(ExportError, match="is a file"):
        export_bundle(student, [ORT], tmp_path / "thesis.tex")
    assert leftovers(tmp_path) == ["thesis.tex"]


def test_publishing_is_undone_when_its_second_half_fails(make_tiny_bundle, tmp_path, monkeypatch):
    out = make_tiny_bundle(tmp_path / "b")
    before = (out / "manifest.json").read_bytes()
    rename = Path.rename

    def failing(self, target):
        if self.name == "bundle":
            raise OSError(errno.EACCES, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(ExportError, match="what stood there is intact"), staged_bundle(out) as staging:
        (staging.root / "manifest.json").write_text("new")
    assert (out / "manifest.json").read_bytes() == before
    assert leftovers(tmp_path) == ["b"]


def test_impossible_targets_are_refused_before_any_work(student, tmp_path):
    half = Target(name="half", backend="onnxruntime", precision="bf16")
    with pytest.raises(ConfigError, match="half: onnxruntime is not built in bf16; one of: fp32, fp16"):
        export_bundle(student, [half], tmp_path / "b")
    with pytest.raises(ConfigError, match="given twice"):
        export_bundle(student, [ORT, load_target(ORT)], tmp_path / "b")
    with pytest.raises(ConfigError, match="no target"):
        export_bundle(student, [], tmp_path / "b")
    with pytest.raises(ConfigError, match="drop the suffix"):
        export_bundle(student, [ORT], tmp_path / "b.zip")


def test_a_toolchain_that_is_broken_is_not_called_absent(tmp_path, monkeypatch):
    (tmp_path / "halfonnx.py").write_text("import something_absent")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingDependencyError, match=r"halfonnx is installed but cannot be imported \(No module named"):
        require_modules("halfonnx")
    with pytest.raises(MissingDependencyError, match="^noonnx is not installed: `pip install"):
        require_modules("noonnx")


def test_reference_logits_of_another_student_are_refused(student, split, tmp_path):
    dataset, logits = split
    with pytest.raises(ExportError, match="belong to another checkpoint"):
        export_bundle(student, [ORT], tmp_path / "b", reference=[(dataset, logits[::-1])])
    with pytest.raises(DataError, match="the reference logits are"):
        export_bundle(student, [ORT], tmp_path / "b", reference=[(dataset, logits[:, :3])])


def test_a_bad_golden_image_is_named(student, tmp_path):
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"broken.jpg: cannot be decoded"):
        export_bundle(student, [ORT], tmp_path / "b", golden=[path])
    assert leftovers(tmp_path) == ["broken.jpg"]


def test_outputs_that_are_no_numbers_or_swapped_are_problems():
    logits = np.array([[4.0, -2.0], [0.0, 1.0]], np.float32)
    sigmoid = 1 / (1 + np.exp(-logits))
    assert compare(logits, sigmoid, logits, "fp32").problem == ""
    assert "NaN or infinity" in compare(logits * np.float32("nan"), sigmoid, logits, "fp16").problem
    assert "sigmoid" in compare(logits, logits, logits, "fp32").problem
    assert "not (2, 2)" in compare(logits[:1], sigmoid[:1], logits, "fp32").problem


def test_a_crashing_simplifier_keeps_the_original(traced, student, tmp_path, monkeypatch):
    def crashing(function, path, out, rows, folder, **options):
        check_and_run(path, f"{folder}/images.npy", rows, f"{folder}/checked.npz")
        return run_in_child(jobs.segfault, python=Path(sys.executable), **options)

    monkeypatch.setattr(simplify_module, "run_in_child", crashing)
    probes = make_probes(from_student(student), np.empty((0, 64, 64, 3), np.uint8))
    kept = simplify_module.check_and_simplify(traced, tmp_path / "out.onnx", probes, BatchRange())
    assert kept.path == traced
    assert kept.nodes_before == kept.nodes_after
    assert kept.note.startswith("not simplified: onnxsim: its process crashed with SIGSEGV")
