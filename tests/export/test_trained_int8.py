"""A student that was trained in int8: the file computes, operation by operation, what training simulated."""

from dataclasses import replace
from itertools import pairwise

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, fx, nn

from edgedistill.distill.models import Classifier
from edgedistill.distill.models.folded import FoldedClassifier
from edgedistill.distill.models.rounding import SameLevels
from edgedistill.export import export_bundle
from edgedistill.export.builders import Built
from edgedistill.export.probes import make_probes
from edgedistill.export.proving import check_artifact
from edgedistill.export.quantization.products import multiplies_exactly
from edgedistill.export.sources.base import NetworkCard
from edgedistill.export.sources.pytorch import PyTorchSource
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.predictor import load
from edgedistill.runtime.preprocess import Preprocessing

SIZE = (24, 24)
CLASSES = ("cat", "dog", "tree")
TARGETS = ("onnxruntime-cpu-fp32", "onnxruntime-cpu-int8", "openvino-cpu-int8")


class EveryOperation(nn.Module):
    """What students consist of: plain and depthwise convolutions, a residual, a channel shuffle, a gate."""

    channels = 24

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 12, 3, stride=2, bias=False), nn.BatchNorm2d(12), nn.ReLU6(inplace=True))
        self.pool = nn.MaxPool2d(3, stride=2)
        self.depthwise = nn.Sequential(nn.Conv2d(12, 12, 3, padding=1, groups=12), nn.BatchNorm2d(12))
        self.expand = nn.Conv2d(6, 18, 1)
        self.squeeze, self.excite = nn.Conv2d(24, 4, 1), nn.Conv2d(4, 24, 1)

    def forward(self, images: Tensor) -> list[Tensor]:
        stem = self.pool(self.stem(images))
        added = torch.relu(self.depthwise(stem) + stem)
        first, second = added.chunk(2, dim=1)
        maps = torch.cat((first, self.expand(second)), dim=1)
        batch, channels, height, width = maps.size()
        maps = maps.view(batch, 2, channels // 2, height, width).transpose(1, 2).reshape(batch, channels, height, width)
        gate = self.excite(torch.relu(self.squeeze(maps.mean((2, 3), keepdim=True)))).sigmoid()
        return [stem, maps * gate]


def pictures(count: int, seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 6, 6, 3), np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


@pytest.fixture(scope="module")
def trained():
    """The network as it computes in training, and the source that a checkpoint of it is."""
    torch.manual_seed(0)
    model = Classifier(EveryOperation(), len(CLASSES))
    with torch.no_grad():
        model.train()(model.normalize(torch.from_numpy(pictures(64, 1))))
        model.head.linear.weight *= 10
    simulated = FoldedClassifier(model.eval()).round_to_int8().train()
    with torch.no_grad():
        simulated(simulated.normalize(torch.from_numpy(pictures(64, 2))))
    preprocessing = Preprocessing(size=SIZE)
    card = NetworkCard(
        name="tiny", model="tiny", classes=CLASSES, preprocessing=preprocessing, thresholds=(0.5,) * 3, sha256="ab" * 32
    )
    return simulated.eval(), PyTorchSource(FoldedClassifier(model).eval(), card, int8_ranges=simulated.int8_ranges)


@pytest.fixture(scope="module")
def bundle(trained, tmp_path_factory):
    _, source = trained
    images = pictures(80, 3)
    labels = (source.logits(images) > 0).astype(np.int8)
    data = Dataset("training", CLASSES, tuple(map(str, range(80))), images, labels)
    return export_bundle(source, TARGETS, tmp_path_factory.mktemp("trained") / "bundle", calibration=data)


class Forced(fx.Interpreter):
    """Gives each operation what the runtime's operations gave before it, so that no difference grows.

    Attributes:
        off: by what is rounded, |simulated - runtime| in levels.
    """

    def __init__(self, graph: fx.GraphModule, theirs: list[np.ndarray]) -> None:
        super().__init__(graph)
        self._theirs = iter(theirs)
        self.off: dict[str, Tensor] = {}

    def run_node(self, n: fx.Node) -> object:
        found = super().run_node(n)
        if n.op != "call_module" or not str(n.target).startswith("int8_"):
            return found
        rounding = self.module.get_submodule(n.target)
        scale, _ = (rounding.source[0] if isinstance(rounding, SameLevels) else rounding).levels()
        theirs = torch.from_numpy(next(self._theirs))
        self.off[n.target] = (found - theirs).abs() / scale
        return theirs


def activations(path) -> tuple[bytes, list[str]]:
    """The file with what follows each rounding of an activation as outputs, and their names in the graph's order."""
    model = onnx.load(path)
    constants = {tensor.name for tensor in model.graph.initializer}
    names = [
        node.output[0]
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] not in constants
    ]
    model.graph.output.extend(onnx.helper.make_tensor_value_info(name, 1, None) for name in names)
    return model.SerializeToString(), names


def test_each_operation_of_the_file_is_the_simulated_one_to_rounding(trained, bundle):
    simulated, _ = trained
    images = pictures(16, 4)
    artifact = next(a for a in bundle.manifest.artifacts if a.name == "onnxruntime-cpu-int8")
    model, names = activations(bundle.root / artifact.files[0].path)
    options = onnxruntime.SessionOptions()
    if not multiplies_exactly():  # each operation as the file defines it, not as this CPU's kernels of bytes do it
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    logits, *theirs = session.run(["logits", *names], {"image": images})
    forced = Forced(simulated.backbone.graph, theirs)
    with torch.no_grad():
        _, _, ours = forced.run(simulated.normalize(torch.from_numpy(images)))
    assert len(forced.off) == len(names)
    for name, off in forced.off.items():
        assert off.max() < 1.001, name
        assert (off > 0.5).float().mean() < 1e-3, name
    torch.testing.assert_close(torch.from_numpy(logits), ours, rtol=0.0, atol=1e-4 * float(ours.std()))


@pytest.mark.skipif(not multiplies_exactly(), reason="products of bytes overflow on this CPU (x86 without VNNI)")
def test_the_logits_are_the_simulated_ones(trained, bundle):
    simulated, source = trained
    images = pictures(64, 5)
    with torch.no_grad():
        expected = simulated(simulated.normalize(torch.from_numpy(images))).logits.numpy()
    rounding = np.abs(expected - source.logits(images))
    for backend in ("onnxruntime", "openvino"):
        with load(bundle, backend=backend, precision="int8") as predictor:
            found, _ = predictor.infer(images)
        assert np.abs(found - expected).mean() < 0.05 * rounding.mean(), backend


def test_all_of_it_runs_in_int8_and_the_manifest_says_how_it_came(bundle):
    first, *quantised = bundle.manifest.artifacts
    assert [a.status for a in bundle.manifest.artifacts] == ["verified"] * 3
    assert first.coverage is None
    for artifact in quantised:
        assert (artifact.coverage.int8, artifact.coverage.convolutions) == (5, 5)
        assert artifact.details["calibrator"] == "trained"
        assert ("weights" in artifact.details) is not multiplies_exactly()
        assert artifact.details["accuracy_recovery"] == "none: the student was trained in int8"
    assert all(one.files[0].sha256 != other.files[0].sha256 for one, other in pairwise(bundle.manifest.artifacts))


def test_a_file_that_fails_tells_what_this_cpu_makes_of_its_weights(trained, bundle):
    _, source = trained
    probes = make_probes(source, pictures(8, 6))
    wrong = replace(probes, logits=probes.logits + 99)
    told = {"weights": "8 bits, as they were trained"}
    artifact = msgspec.structs.replace(bundle.manifest.artifacts[1], details=told)
    judged = check_artifact(bundle, artifact, wrong, Built((), "onnx"))
    assert judged.status == "failed"
    assert judged.reason.endswith("allowed in int8. Weights: 8 bits, as they were trained.")
