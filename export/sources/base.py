"""What an export needs of a network, wherever it comes from."""

from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ...runtime.bundle import InputKind
from ...runtime.bundle.check import class_problems, preprocessing_problems, threshold_problems
from ...runtime.errors import ConfigError
from ...runtime.preprocess import Preprocessing
from ...runtime.record import Record
from ...runtime.tensors import TensorSpec
from ..errors import ExportError
from ..signature import input_spec, output_specs

if TYPE_CHECKING:
    from ..graph import DeployGraph

_THRESHOLD = 0.5


class NetworkCard(Record):
    """What a bundle says of its network.

    Attributes:
        name: of the bundle, unless export is given another.
        model: what the network is, e.g. "mobilenetv2", "timm/resnet10t" or "model.onnx".
        classes: C names in the order of the logits.
        preprocessing: image file -> the graph's input.
        thresholds: (C,) probabilities from which a label is reported.
        sha256: of the file that holds the weights, or of the weights where there is no file.
        recipe_sha256: of the recipe that trained it; empty where nobody knows.
    """

    name: str
    model: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    thresholds: tuple[float, ...]
    sha256: str
    recipe_sha256: str = ""


class Source:
    """A network with its card: every artifact is built from it and compared with it.

    Args:
        card: what the bundle says of it.
        reading: see below.

    Attributes:
        toolchain: modules that turning it into ONNX needs.
        further: optional outputs that its graphs give.
        reading: one sentence for people on how its images and outputs are read, and what of that nobody said.
    """

    toolchain: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")

    def __init__(self, card: NetworkCard, reading: str = "") -> None:
        self.card = card
        self.further: tuple[TensorSpec, ...] = ()
        self.reading = reading

    @property
    def framework(self) -> str:
        """What computes `logits`, for the manifest, e.g. "torch 2.14.1"."""
        raise NotImplementedError

    @property
    def parameters(self) -> int | None:
        """How many a device would load; None where they cannot be counted."""
        return None

    def logits(self, images: np.ndarray) -> np.ndarray:
        """The network's own logits float32 (N, C) for resized uint8 (N, H, W, 3) RGB images."""
        raise NotImplementedError

    def giving(self, outputs: Sequence[str]) -> "Source":
        """The same network, whose graphs give these optional outputs too.

        Raises:
            ConfigError: it cannot give one of them.
        """
        if outputs:
            raise ConfigError(
                f"{', '.join(outputs)}: an ONNX file is exported with the outputs that it has; such optional outputs "
                "come from a network in PyTorch."
            )
        return self

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """All that its graphs give."""
        return output_specs(len(self.card.classes)) + self.further

    def further_outputs(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """The network's own optional outputs float32 (N, ...), by name, for what `logits` takes."""
        return {}

    def image(self, input: InputKind) -> TensorSpec:
        """What the graph that `write_onnx` writes takes.

        Raises:
            ConfigError: this network's graph cannot take that.
        """
        return input_spec(input, self.card.preprocessing.size)

    def write_onnx(
        self,
        input: InputKind,
        path: Path,
        *,
        opset: int | None = None,
        program: Callable[[], Path] | None = None,
    ) -> Path:
        """Write the network as one self-contained float32 ONNX file that takes `image(input)`, as bundles have it.

        Args:
            input: what the graph takes.
            path: of the .onnx file.
            opset: the operator set to write it in; None for the default of what writes it.
            program: gives the trace of `graph(input)`, where there is a graph and others want its trace too.

        Raises:
            MissingDependencyError: the toolchain is not installed.
            ExportError: the network cannot be written as such a file, or not in that operator set.
        """
        raise NotImplementedError

    @property
    def trained_in_int8(self) -> bool:
        """Whether the network was trained as int8 runtimes compute it, so that `write_int8` writes that."""
        return False

    def write_int8(self, input: InputKind, path: Path, *, opset: int | None = None) -> Path:
        """Write the int8 graph that the network was trained as: U8S8, in QDQ form; as `write_onnx` otherwise."""
        raise NotImplementedError

    def graph(self, input: InputKind) -> "DeployGraph":
        """The PyTorch module that conversions trace, in its deploy form.

        Raises:
            ExportError: the network is not in PyTorch.
        """
        raise ExportError(
            "it is converted from a network in PyTorch, and an ONNX file was given: export the network itself "
            "(`--model` and `--weights`, or `export.from_module` in Python)."
        )


def make_card(
    *,
    name: str,
    model: str,
    classes: Sequence[str],
    preprocessing: Preprocessing,
    sha256: str,
    thresholds: Sequence[float] | None = None,
) -> NetworkCard:
    """The card of a network that is no student of ours; see `NetworkCard`. Thresholds are 0.5 where none are given.

    Raises:
        ConfigError: a class is empty or given twice, a number has no sense, or there are not as many thresholds as
            classes.
    """
    names = tuple(classes)
    limits = (_THRESHOLD,) * len(names) if thresholds is None else tuple(thresholds)
    problems = chain(class_problems(names), threshold_problems(names, limits), preprocessing_problems(preprocessing))
    if problem := next(problems, ""):
        raise ConfigError(f"{model}: {problem}.")
    return NetworkCard(
        name=name, model=model, classes=names, preprocessing=preprocessing, thresholds=limits, sha256=sha256
    )


def preprocessing_text(preprocessing: Preprocessing, *, normalised: bool = True) -> str:
    """For people: how an image becomes the network's input; `normalised` unless the network does that itself."""
    height, width = preprocessing.size
    how = {"squash": "squashed to", "center_crop": "cut to the centre's"}[preprocessing.resize]
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (preprocessing.mean, preprocessing.std))
    normalisation = f"mean {mean}, std {std}" if normalised else "normalised by the network itself"
    return f"{how} {height}x{width} pixels ({preprocessing.interpolation}), {normalisation}"
