"""Untrained students with statistics as trained ones have them, their graphs, and one bundle that all tests read."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from edgedistill.distill.checkpoint import ModelCard, Student, load_student, save_student
from edgedistill.distill.models import ModelSpec, build_from_spec
from edgedistill.export import export_bundle, reparameterize
from edgedistill.export.conversions import onnx_fp32
from edgedistill.export.graph import DeployGraph
from edgedistill.export.probes import framework_logits
from edgedistill.export.quantization import calibration, held_out, qdq, ranges
from edgedistill.export.quantization.graph_images import GraphImages
from edgedistill.export.signature import input_spec
from edgedistill.runtime.bundle import CalibrationData
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.preprocess import Preprocessing

sys.path.insert(0, str(Path(__file__).parent))

import residual_network
from small_network import small_network

SIZE = (64, 64)
CLASSES = ("cat", "dog", "tree", "car", "boat")
TARGETS = (
    *("onnxruntime-cpu-fp32", "openvino-cpu-fp32", "openvino-cpu-bf16", "tensorrt-gpu-fp16", "tensorrt-gpu-fp32"),
    *("openvino-npu-fp16", "onnxruntime-wasm-fp32", "tensorrt-orin-fp16"),
)


@torch.no_grad()
def randomise(model: nn.Module) -> None:
    """Random BatchNorm statistics, from a forward pass on noise that keeps the maps at unit scale, then shaken."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.3, 0.3)
        norm.momentum = 1.0
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    model.train()(torch.randn(8, 3, *SIZE))
    for norm in norms:
        norm.running_mean += 0.1 * torch.randn_like(norm.running_mean)
        norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.8, 1.25)
    linear = getattr(model.head, "linear", None)
    if linear is not None:
        linear.weight *= 10  # logits of a trained student's size
    model.eval()


@torch.no_grad()
def centre(model: nn.Module) -> None:
    """Logits around 0, where labels and a temperature are."""
    images = torch.randint(0, 256, (32, 8, 8, 3), dtype=torch.uint8).repeat_interleave(8, 1).repeat_interleave(8, 2)
    model.head.linear.bias -= model(model.normalize(images)).logits.mean(0)


@pytest.fixture(scope="session", autouse=True)
def _here(children_here):
    pass


@pytest.fixture(scope="session")
def make_student(tmp_path_factory):
    """A student, saved and loaded; the same name and options give the same weights."""

    def make(name: str, **options) -> Student:
        spec = ModelSpec(name=name, **options)
        torch.manual_seed(0)
        model = build_from_spec(spec, len(CLASSES))
        randomise(model)
        if name == residual_network.NAME:  # whose logits give the labels of tests
            centre(model)
        card = ModelCard(
            edgedistill="0",
            name=name,
            model=spec,
            classes=CLASSES,
            preprocessing=Preprocessing(size=SIZE),
            thresholds=(0.5, 0.4, 0.3, 0.6, 0.7),
            recipe_sha256="ab" * 32,
        )
        path = tmp_path_factory.mktemp("student") / "student.safetensors"
        save_student(path, model, card)
        return load_student(path)

    return make


@pytest.fixture(scope="session")
def student(make_student):
    return make_student(residual_network.NAME)


@pytest.fixture(scope="session")
def trace(make_student, sharing_traces, tmp_path_factory):
    """Export a student's graph once; returns (student, path)."""
    done = {}

    def make(name, input="uint8_nhwc", **options):
        key = (name, input, str(options))
        if key not in done:
            student = make_student(name, **options)
            path = tmp_path_factory.mktemp("onnx") / "model.onnx"
            spec = input_spec(input, student.card.preprocessing.size)
            with sharing_traces():
                done[key] = (
                    student,
                    onnx_fp32.export_onnx(DeployGraph(reparameterize(student.model), input), spec, path),
                )
        return done[key]

    return make


@pytest.fixture(scope="session")
def photographs(tmp_path_factory) -> list[Path]:
    """Three JPEGs and a PNG that need a resize; the last JPEG is grey."""
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(1)
    paths = []
    for name, mode in (("a.jpg", "RGB"), ("b.JPEG", "RGB"), ("c.jpg", "L"), ("d.png", "RGB")):
        coarse = Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8))
        coarse.resize((120, 90), Image.Resampling.BICUBIC).convert(mode).save(folder / name)
        paths.append(folder / name)
    return paths


@pytest.fixture(scope="session")
def make_split():
    """Twenty images with a student's logits."""

    def make(student: Student) -> tuple[Dataset, np.ndarray]:
        rng = np.random.default_rng(2)
        images = rng.integers(0, 256, (20, *SIZE, 3), dtype=np.uint8)
        labels = rng.integers(0, 2, (20, len(CLASSES))).astype(np.int8)
        dataset = Dataset("my test/split", CLASSES, tuple(map(str, range(20))), images, labels)
        return dataset, framework_logits(student.model, images)

    return make


@pytest.fixture(scope="session")
def split(make_split, student) -> tuple[Dataset, np.ndarray]:
    return make_split(student)


@pytest.fixture(scope="session")
def exported(student, photographs, split, sharing_traces, tmp_path_factory):
    """The whole bundle (do not write into it), with the steps that were announced."""
    out = tmp_path_factory.mktemp("exported") / "bundle"
    steps = []
    with sharing_traces():
        bundle = export_bundle(
            student,
            TARGETS,
            out,
            golden=photographs,
            reference=split,
            zip=True,
            progress=lambda *step: steps.append(step),
        )
    return bundle, steps


@pytest.fixture(scope="session")
def measured(measure_small_network, tmp_path_factory):
    """A small network of nine layers: (prepared graph, histograms, images, scratch folder)."""
    return measure_small_network(tmp_path_factory.mktemp("quantise"))


@pytest.fixture(scope="session")
def measure_small_network():
    """A `small_network`: (prepared graph, histograms, images whose labels are its own, the folder)."""

    def measure(scratch, **options):
        prepared = qdq.prepare(small_network(scratch / "float.onnx", **options), scratch / "prepared.onnx")
        pixels = np.random.default_rng(3).integers(0, 256, (120, 6, 6, 3), np.uint8).repeat(4, axis=1).repeat(4, axis=2)
        logits = held_out.run_logits(prepared, GraphImages(pixels))
        labels = (logits > np.quantile(logits, 0.8, axis=0)).astype(np.int8)
        record = CalibrationData("training", "a", 60, "training", "b", 60)
        pictures = GraphImages(pixels[:60]), GraphImages(pixels[60:])
        images = calibration.CalibrationImages(*pictures, labels[60:], record)
        return prepared, ranges.measure(prepared, images.ranges, scratch, qdq.OPERATORS), images, scratch

    return measure
