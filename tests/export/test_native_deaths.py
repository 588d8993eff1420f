"""A native tool that takes its process down fails what is made with it, with its last words; the others go on."""

import os
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgedistill.export import export_bundle, from_onnx, operating_points, running_apart
from edgedistill.export.child import run_in_child
from edgedistill.export.conversions import (
    CONVERSIONS,
    Converted,
    fixed_batch,
    onnx_fp16,
    onnx_int8,
    simplifying,
    tflite,
)
from edgedistill.export.errors import ExportError
from edgedistill.export.probes import Probes
from edgedistill.export.sources import onnx_file, onnx_running
from edgedistill.runtime.bundle import open_bundle
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.metrics import threshold_rule
from edgedistill.runtime.targets import Target
from edgedistill.runtime.tensors import BatchRange

from . import child_jobs as jobs

pytestmark = pytest.mark.usefixtures("traced_once")

WELL = "onnxruntime-cpu-fp32"
GOLDEN = Path(__file__).parents[1] / "golden" / "litert"
COLOURS = ("red", "green", "blue", "bright")  # of the tiny bundle
ONE_IMAGE = BatchRange(min=1, typical=1, max=1)
SEGV = jobs.segfault, "its process crashed with SIGSEGV: loading plug-in 3 of 4."
KILL = jobs.be_killed, "its process crashed with SIGKILL, as when memory runs out: short of memory."


@pytest.fixture
def dies(monkeypatch):
    """Make a module's child die where it would call a function."""

    def arrange(module, name, death):
        here = module.run_in_child

        def run(function, *arguments, what, **options):
            if function.__name__ == name:
                return run_in_child(death, what=what, python=Path(sys.executable))
            return here(function, *arguments, what=what, **options)

        monkeypatch.setattr(module, "run_in_child", run)

    return arrange


@pytest.mark.parametrize(
    ("module", "function", "target", "death"),
    [
        (onnx_fp16, "convert_to_fp16", {"precision": "fp16"}, SEGV),
        (fixed_batch, "fix_batch", {"precision": "fp32", "batch": ONE_IMAGE}, KILL),
        (onnx_int8, "prepare_and_measure", {"precision": "int8"}, KILL),
        (onnx_int8, "choose_graph", {"precision": "int8"}, SEGV),
        (tflite, "choose_file", {"backend": "litert", "precision": "int8", "batch": ONE_IMAGE}, KILL),
    ],
)
def test_it_fails_its_artifact_alone(dies, student, split, tmp_path, monkeypatch, module, function, target, death):
    if module is tflite:
        pytest.importorskip("ai_edge_litert", reason="the extra `litert`")
        made = Converted(GOLDEN / "convolutions.tflite")
        monkeypatch.setitem(CONVERSIONS._entries, "tflite.fp32", lambda ingredients: made)
        monkeypatch.setattr(tflite, "toolchain_python", lambda name: Path(sys.executable))
    dies(module, function, death[0])
    needs = {"calibration": split[0]} if target["precision"] == "int8" else {}
    struck = Target(**{"name": "struck", "backend": "onnxruntime"} | target)
    one, other = export_bundle(student, [struck, WELL], tmp_path / "b", **needs).manifest.artifacts
    assert (one.status, one.files, other.status) == ("failed", (), "verified")
    assert one.reason.endswith(f": {death[1]}")


def test_a_graph_that_kills_what_checks_it_is_refused(dies, tiny_bundle, tmp_path):
    dies(simplifying, "check_simplify_check", KILL[0])
    probes = Probes(np.zeros((8, 4, 4, 3), np.uint8), np.zeros((8, 2), np.float32))
    with pytest.raises(ExportError, match="^the ONNX graph is refused: its process crashed with SIGKILL"):
        simplifying.check_and_simplify(
            tiny_bundle / "onnx" / "model.fp32.onnx", tmp_path / "out.onnx", probes, BatchRange()
        )
    assert list(tmp_path.iterdir()) == []


def test_a_given_file_that_kills_what_tries_it_is_refused_in_a_line(dies, tiny_bundle):
    dies(onnx_running, "try_file", SEGV[0])
    path = tiny_bundle / "onnx" / "model.fp32.onnx"
    with pytest.raises(ExportError) as raised:
        from_onnx(path, classes=COLOURS)
    assert str(raised.value) == f"{path}: cannot be run: {SEGV[1]}"


def test_a_given_file_that_kills_its_conversion_fails_what_is_made_of_it(dies, tiny_bundle, tmp_path):
    dies(onnx_file, "write_wrapped", KILL[0])
    path = tiny_bundle / "onnx" / "model.fp32.onnx"
    with pytest.raises(ExportError, match="no artifact could be built") as raised:
        export_bundle(from_onnx(path, classes=COLOURS), [WELL], tmp_path / "b")
    assert str(raised.value).endswith(f"cannot be brought into a bundle's form: {KILL[1]}")
    assert list(tmp_path.iterdir()) == []


KILLER = """
import os, signal
from edgedistill.runtime.backends.base import BACKENDS, Backend

@BACKENDS.register("killer")
class Killer(Backend):
    @classmethod
    def library(cls):
        return os

    def _load(self):
        print("out of licences", file=__import__("sys").stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_an_artifact_that_kills_what_estimates_thresholds_fails_and_the_others_get_theirs(
    make_tiny_bundle, tiny_reference, tmp_path, monkeypatch
):
    site = tmp_path / "site"
    (site / "killer-1.dist-info").mkdir(parents=True)
    (site / "killer.py").write_text(KILLER)
    (site / "killer-1.dist-info" / "METADATA").write_text("Name: killer\nVersion: 1\n")
    (site / "killer-1.dist-info" / "entry_points.txt").write_text("[edgedistill.backends]\nkiller = killer\n")
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)  # the child is a Python of its own
    monkeypatch.setattr(running_apart, "run_in_child", run_in_child)
    opened = open_bundle(make_tiny_bundle(tmp_path / "b"))
    first, second, third = opened.manifest.artifacts
    second = msgspec.structs.replace(second, target=msgspec.structs.replace(second.target, backend="killer"))
    manifest = msgspec.structs.replace(opened.manifest, artifacts=(first, second, third))
    pixels = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), np.uint8)
    labels = (tiny_reference(pixels) > 0.5).astype(np.int8)
    data = Dataset("val", manifest.classes, tuple(map(str, range(40))), list(pixels), labels)
    said = []
    found = operating_points.with_operating_points(
        type(opened)(opened.storage, manifest, b""), data, threshold_rule(0.5), said.append
    )
    assert [artifact.status for artifact in found.artifacts] == ["verified", "failed", "verified"]
    assert [artifact.operating_point is None for artifact in found.artifacts] == [False, True, False]
    assert found.artifacts[1].reason == (
        "on val: it cannot be run: its process crashed with SIGKILL, as when memory runs out: out of licences"
    )
    assert said[-2:] == [second.name, third.name]
