"""What every builder is given and gives back."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from ...runtime.bundle import TensorSpec
from ...runtime.registry import Registry
from ...runtime.targets import Precision, Target
from ..fp16 import convert_to_fp16
from ..simplify import Simplified


@dataclass
class Ingredients:
    """What artifacts are built from.

    Attributes:
        root: the bundle's folder, where a builder puts its files.
        scratch: a folder for intermediates, which does not ship.
        graph: the checked float32 ONNX graph.
        image: the graph's input.
    """

    root: Path
    scratch: Path
    graph: Simplified
    image: TensorSpec
    _fp16: Path | None = field(default=None, init=False)

    def onnx(self, precision: Precision) -> Path:
        """The ONNX file whose arithmetic is float16 for "fp16", else float32.

        Raises:
            ExportError: the graph cannot be converted to float16.
        """
        if precision != "fp16":
            return self.graph.path
        if self._fp16 is None:
            self._fp16 = convert_to_fp16(self.graph.path, self.scratch / "model.fp16.onnx")
        return self._fp16


@dataclass(frozen=True)
class Built:
    """A builder's result.

    Attributes:
        files: below the bundle's root, the main one first.
        details: what the backend must know or a person may ask.
        for_elsewhere: the files are machine code for devices that this machine need not be.
    """

    files: tuple[Path, ...]
    details: dict[str, str] = field(default_factory=dict)
    for_elsewhere: bool = False


class Builder:
    """Builds artifacts for one backend.

    Attributes:
        precisions: what the backend can compute in.
    """

    precisions: ClassVar[tuple[Precision, ...]]

    def build(self, target: Target, ingredients: Ingredients) -> Built:
        """Write the artifact's files.

        Raises:
            MissingDependencyError: the toolchain is not installed; names the extra.
            ExportError: the toolchain refuses the graph; says why in its own words.
        """
        raise NotImplementedError


BUILDERS: Registry[type[Builder]] = Registry("backend", __package__)
