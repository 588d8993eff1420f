"""Networks in PyTorch: a checkpoint of ours, or any module that gives logits."""

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

import numpy as np
from torch import nn

from ...distill.checkpoint import Student, digest_weights
from ...distill.models import Classifier
from ...distill.models.folded import FoldedClassifier
from ...distill.models.plain import as_classifier
from ...distill.models.reparameterize import reparameterize
from ...distill.models.size import count_parameters
from ...distill.models.whole import LibraryClassifier, LogitsAlone
from ...runtime.bundle import InputKind
from ...runtime.errors import ConfigError
from ...runtime.preprocess import Preprocessing
from ..conversions import onnx_fp32
from ..graph import DeployGraph
from ..optional_outputs import framework_outputs, optional_specs
from ..probes import framework_logits
from ..quantization.trained import quantised_model
from .base import NetworkCard, Source, make_card


class PyTorchSource(Source):
    """A classifier in PyTorch.

    Args:
        model: as it was trained, not re-parameterized: the comparison then covers that step too.
        card: what the bundle says of it.
        int8_ranges: of its activations, where it was trained in int8; see `distill.checkpoint.ModelCard`.
        reading: see `Source`.
    """

    toolchain: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime", "onnxscript")

    def __init__(
        self,
        model: Classifier,
        card: NetworkCard,
        *,
        int8_ranges: Mapping[str, tuple[float, float]] | None = None,
        reading: str = "",
    ) -> None:
        super().__init__(card, reading)
        self.model = model
        self._int8_ranges = int8_ranges or {}

    @property
    def framework(self) -> str:
        return f"torch {version('torch')}"

    @property
    def parameters(self) -> int:
        return count_parameters(self._deployed)

    def logits(self, images: np.ndarray) -> np.ndarray:
        return framework_logits(self.model, images)

    def giving(self, outputs: Sequence[str]) -> "PyTorchSource":
        found = PyTorchSource(self.model, self.card, int8_ranges=self._int8_ranges, reading=self.reading)
        found.further = optional_specs(self.model, outputs, self.card.preprocessing.size)
        return found

    def further_outputs(self, images: np.ndarray) -> dict[str, np.ndarray]:
        return framework_outputs(self.model, images, [spec.name for spec in self.further])

    @cached_property
    def _deployed(self) -> Classifier:
        return reparameterize(self.model)

    def graph(self, input: InputKind) -> DeployGraph:
        return DeployGraph(self._deployed, input, [spec.name for spec in self.further])

    def write_onnx(
        self,
        input: InputKind,
        path: Path,
        *,
        opset: int | None = None,
        program: Callable[[], Path] | None = None,
    ) -> Path:
        return onnx_fp32.export_onnx(self.graph(input), self.image(input), path, opset=opset, program=program)

    @property
    def trained_in_int8(self) -> bool:
        return bool(self._int8_ranges)

    def write_int8(self, input: InputKind, path: Path, *, opset: int | None = None) -> Path:
        assert isinstance(self.model, FoldedClassifier)
        model = quantised_model(self.model, self._int8_ranges)
        graph = DeployGraph(model, input, [spec.name for spec in self.further])
        return onnx_fp32.export_onnx(graph, self.image(input), path, opset=opset)


def from_student(student: Student) -> PyTorchSource:
    """A checkpoint of ours."""
    card = student.card
    return PyTorchSource(
        student.model,
        NetworkCard(
            name=card.name,
            model=card.model.name,
            classes=card.classes,
            preprocessing=card.preprocessing,
            thresholds=card.thresholds,
            sha256=student.sha256,
            recipe_sha256=card.recipe_sha256,
        ),
        int8_ranges=card.int8_ranges,
    )


def from_module(
    module: nn.Module,
    *,
    classes: Sequence[str],
    preprocessing: Preprocessing,
    name: str = "",
    thresholds: Sequence[float] | None = None,
) -> PyTorchSource:
    """Anybody's network.

        source = from_module(net, classes=["cat", "dog"], preprocessing=Preprocessing(size=(224, 224)))
        export_bundle(source, ["onnxruntime-cpu-fp32"], "bundle")

    Args:
        module: maps normalised float32 images (B, 3, H, W) to logits (B, C) of independent labels, without a sigmoid.
        classes: C names in the order of the logits.
        preprocessing: how the network's images are made: size, resize mode and filter, mean and standard deviation.
        name: of the bundle; the module's class when absent.
        thresholds: (C,) probabilities from which a label is reported; 0.5 when absent.

    Raises:
        ConfigError: the network does not give C logits, a class name is empty or given twice, a number has no sense,
            or the thresholds do not fit.
    """
    if not isinstance(preprocessing, Preprocessing):
        raise ConfigError(
            f"`preprocessing` is {preprocessing!r}: give a Preprocessing, e.g. `Preprocessing(size=(224, 224))`."
        )
    as_classifier(module, len(classes), preprocessing, who="network")  # refuses what gives no logits of these classes
    kind = type(module).__name__
    card = make_card(
        name=name or kind,
        model=kind,
        classes=classes,
        preprocessing=preprocessing,
        sha256=digest_weights(module),
        thresholds=thresholds,
    )
    network = LogitsAlone(copy.deepcopy(module))
    model = LibraryClassifier(network, len(card.classes), mean=preprocessing.mean, std=preprocessing.std)
    return PyTorchSource(model.eval().requires_grad_(False), card)
