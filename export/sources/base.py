"""What an export needs of a network, wherever it comes from."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ...runtime.bundle import InputKind
from ...runtime.errors import ConfigError
from ...runtime.preprocess import Preprocessing
from ...runtime.record import Record
from ...runtime.tensors import TensorSpec
from ..errors import ExportError
from ..signature import input_spec, output_specs

if TYPE_CHECKING:
    from ..graph import DeployGraph


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

    Attributes:
        toolchain: modules that turning it into ONNX needs.
        further: optional outputs that its graphs give.
    """

    toolchain: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")

    def __init__(self, card: NetworkCard) -> None:
        self.card = card
        self.further: tuple[TensorSpec, ...] = ()

    @property
    def framework(self) -> str:
        """What computes `logits`, for the manifest, e.g. "torch 2.14.1"."""
        raise NotImplementedError

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

    def write_onnx(self, input: InputKind, path: Path, *, opset: int | None = None) -> Path:
        """Write the network as one self-contained float32 ONNX file that takes `image(input)`, as bundles have it.

        Args:
            input: what the graph takes.
            path: of the .onnx file.
            opset: the operator set to write it in; None for the default of what writes it.

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
