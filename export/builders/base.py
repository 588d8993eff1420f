"""What every builder is given and gives back."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from ...runtime.registry import Registry
from ...runtime.targets import Target
from ..conversions import Ingredients


@dataclass(frozen=True)
class Built:
    """A builder's result.

    Attributes:
        files: below the bundle's root, the main one first.
        format: of the main file, e.g. "onnx".
        details: what the backend must know or a person may ask.
        for_elsewhere: the files are machine code for devices that this machine need not be.
    """

    files: tuple[Path, ...]
    format: str
    details: dict[str, str] = field(default_factory=dict)
    for_elsewhere: bool = False


class Builder:
    """Builds artifacts for one backend.

    Attributes:
        precisions: what the backend can compute in, and the conversion that each is built from.
    """

    precisions: ClassVar[dict[str, str]]

    def build(self, target: Target, ingredients: Ingredients) -> Built:
        """Write the artifact's files.

        Raises:
            MissingDependencyError: the toolchain is not installed; names the extra.
            ExportError: the toolchain refuses the graph; says why in its own words.
        """
        raise NotImplementedError


BUILDERS: Registry[type[Builder]] = Registry("backend", __package__, "edgedistill.builders")
