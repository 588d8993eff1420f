"""The graph alone: what is in it, and that it computes the student at any batch size."""

import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import residual_network
import shuffled_network
import tiny_network
import torch
from shared_traces import check_onnx
from torch import nn

from edgedistill.export.builders.ort_format import mobile_usability
from edgedistill.export.child import run_in_child
from edgedistill.export.conversions import onnx_fp32
from edgedistill.export.conversions.fixed_batch import fix_batch
from edgedistill.export.conversions.onnx_fp16 import convert_to_fp16
from edgedistill.export.conversions.onnx_fp32 import export_onnx
from edgedistill.export.errors import ExportError
from edgedistill.export.graph import DeployGraph
from edgedistill.export.probes import Probes, framework_logits, make_probes
from edgedistill.export.signature import input_spec
from edgedistill.export.sources.pytorch import from_student
from edgedistill.runtime.backends.onnx_facts import read_onnx
from edgedistill.runtime.preprocess import normalize
from edgedistill.runtime.tensors import BatchRange

from .child_jobs import segfault


def operators(path) -> Counter:
    return Counter(node.op_type for node in onnx.load(path).graph.node)


def run(path, images):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["logits", "probabilities"], {"image": images})


# Every kind of layer and head; slow are whole networks of no other kind.
STUDENTS = [
    (residual_network.NAME, {}),
    ("repvgg_a0", {}),
    (shuffled_network.NAME, {"head": "ml_decoder"}),
    pytest.param("shufflenetv2", {"width": 0.5}, marks=pytest.mark.slow),
    pytest.param("shufflenetv2", {"width": 0.5, "head": "ml_decoder"}, marks=pytest.mark.slow),
    pytest.param("mobilenetv2", {"width": 0.35}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "options"), STUDENTS)
def test_it_computes_the_student_at_any_batch_size(trace, name, options):
    student, path = trace(name, **options)
    images = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), dtype=np.uint8)
    expected = framework_logits(student.model, images)
    assert np.ptp(expected) > 0.5
    for rows in (slice(0, 1), slice(1, 3), slice(3, 8)):
        logits, probabilities = run(path, images[rows])
        np.testing.assert_allclose(logits, expected[rows], atol=1e-3)
        np.testing.assert_allclose(probabilities, torch.from_numpy(expected[rows]).sigmoid(), atol=1e-3)


@pytest.mark.parametrize(("name", "options"), STUDENTS)
def test_nothing_is_left_to_fold(trace, name, options):
    _, path = trace(name, **options)
    graph = onnx.load(path).graph
    constants = {entry.name for entry in graph.initializer}
    assert "BatchNormalization" not in operators(path)
    assert not {"Gather", "Range", "Shape", "Identity"} & set(operators(path))
    assert [node.name for node in graph.node if set(node.input) <= constants] == []


def test_the_decoders_query_path_is_a_constant(trace):
    _, path = trace(shuffled_network.NAME, head="ml_decoder")
    shapes = {entry.name: tuple(entry.dims) for entry in onnx.load(path).graph.initializer}
    assert any(name.endswith("to_key.bias") for name in shapes)
    assert not any("to_query" in name or "norm_queries" in name for name in shapes)


def test_normalisation_can_be_left_to_the_app(trace):
    student, path = trace(tiny_network.NAME, input="float32_nchw")
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    logits, _ = run(path, normalize(images, student.card.preprocessing))
    np.testing.assert_allclose(logits, framework_logits(student.model, images), atol=1e-3)
    assert "Cast" not in operators(path)


def test_the_exporting_machine_is_not_in_the_file(trace):
    _, path = trace(residual_network.NAME)
    assert b".py" not in path.read_bytes()


class OneConvolution(nn.Module):
    """The least that a deploy graph can hold."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3, padding=1)

    def normalize(self, images):
        return images.permute(0, 3, 1, 2) / 255

    def forward(self, images):
        return SimpleNamespace(logits=self.convolution(images).mean((2, 3)))


def test_the_operator_set_is_the_one_that_was_asked_for(tmp_path, monkeypatch):
    graph, image = DeployGraph(OneConvolution()), input_spec("uint8_nhwc", (8, 8))
    path = export_onnx(graph, image, tmp_path / "18.onnx", opset=18)
    assert [entry.version for entry in onnx.load(path).opset_import] == [18]
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    with torch.inference_mode():
        np.testing.assert_allclose(run(path, images)[0], graph(torch.from_numpy(images))[0], atol=1e-5)
    # Where PyTorch cannot convert it keeps another, and only logs it.
    real = torch.onnx.export
    monkeypatch.setattr(torch.onnx, "export", lambda *given, **more: real(*given, **more | {"opset_version": 19}))
    with pytest.raises(ExportError, match="cannot be written in opset 18: PyTorch .* made 19"):
        export_onnx(graph, image, tmp_path / "19.onnx", opset=18)


def test_an_exporter_that_crashes_is_one_line(tmp_path, monkeypatch):
    def dying(function, *arguments, what):
        return run_in_child(segfault, what=what, python=Path(sys.executable))

    monkeypatch.setattr(onnx_fp32, "run_in_child", dying)
    with pytest.raises(
        ExportError, match="cannot be written as ONNX: its process crashed with SIGSEGV: loading plug-in"
    ):
        export_onnx(DeployGraph(OneConvolution()), input_spec("uint8_nhwc", (8, 8)), tmp_path / "model.onnx")


def test_the_exporter_runs_in_a_process_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_fp32, "run_in_child", run_in_child)
    monkeypatch.setattr(torch.onnx, "export", None)
    path = export_onnx(DeployGraph(OneConvolution()), input_spec("uint8_nhwc", (8, 8)), tmp_path / "model.onnx")
    assert [value.name for value in onnx.load(path).graph.output] == ["logits", "probabilities"]


def test_weights_beyond_two_gigabytes_are_told_and_never_written_outside_the_file(tmp_path):
    model = OneConvolution()
    model.more = nn.Parameter(torch.empty(2**29, device="meta"))  # takes no memory
    with pytest.raises(ExportError, match=r"weights take 2\.00 GiB: an ONNX file holds less than 2 GiB, and none is"):
        export_onnx(DeployGraph(model), input_spec("uint8_nhwc", (8, 8)), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "options"), STUDENTS)
def test_the_weights_are_in_the_file(trace, name, options):
    _, path = trace(name, **options)
    assert read_onnx(path.read_bytes()).external == set()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_fp16_keeps_its_interface_and_its_ranking(trace, tmp_path):
    student, path = trace(residual_network.NAME)
    half = tmp_path / "half.onnx"
    convert_to_fp16(path, half)
    assert half.stat().st_size < 0.6 * path.stat().st_size
    images = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    logits, probabilities = run(half, images)
    expected = framework_logits(student.model, images)
    assert logits.dtype == probabilities.dtype == np.float32
    np.testing.assert_allclose(logits, expected, atol=1e-2 * np.ptp(expected))
    # In float16 the largest number below 1 is 0.99951.
    np.testing.assert_allclose(probabilities, torch.from_numpy(logits).sigmoid(), atol=1e-6)


@pytest.mark.parametrize(("name", "options"), STUDENTS)
def test_for_one_number_of_images_every_shape_is_known(trace, tmp_path, name, options):
    _, path = trace(name, **options)
    fixed = tmp_path / "b2.onnx"
    fix_batch(path, fixed, 2)
    graph = onnx.load(fixed).graph
    values = [*graph.input, *graph.output, *graph.value_info]
    assert {output for node in graph.node for output in node.output} <= {value.name for value in values}
    assert all(size.HasField("dim_value") for value in values for size in value.type.tensor_type.shape.dim)
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    np.testing.assert_allclose(run(fixed, images), run(path, images), atol=1e-4)
    with pytest.raises(Exception, match="Got: 1 Expected: 2"):
        run(fixed, images[:1])
    with pytest.raises(ExportError, match="takes 2 images at once and cannot be fixed to 1"):
        fix_batch(fixed, tmp_path / "b1.onnx", 1)


def test_phones_accelerators_want_known_shapes(trace, tmp_path):
    _, path = trace(residual_network.NAME)
    assert mobile_usability(path).startswith("NNAPI NO; ")
    fix_batch(path, tmp_path / "b1.onnx", 1)
    assert mobile_usability(tmp_path / "b1.onnx").startswith("NNAPI YES; ")


def test_a_graph_that_disagrees_is_refused(trace):
    student, path = trace(residual_network.NAME)
    probes = make_probes(from_student(student), np.empty((0, 64, 64, 3), np.uint8))
    check_onnx(path, probes, BatchRange())
    with pytest.raises(ExportError, match="more than the .* allowed in fp32"):
        check_onnx(path, Probes(probes.images, probes.logits + 0.01 * np.ptp(probes.logits)), BatchRange())
