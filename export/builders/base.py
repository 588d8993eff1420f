"""What every builder is given and gives back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ...runtime.errors import ConfigError
from ...runtime.precisions import why_none
from ...runtime.registry import Registry
from ...runtime.targets import Target
from ..conversions import Ingredients

FULL_BITS = 8  # of an int8 weight


@dataclass(frozen=True)
class Evaluation:
    """How the graph in files that no library here can run is evaluated in their place.

    Attributes:
        what: for messages, as the beginning of a sentence, e.g. "the package's program, evaluated here".
        run: given a .npy of what the graph takes, which of them make up each batch, and an .npz to write the outputs
            (N, ...) by name into, batch after batch. Returns the "runner", or why it is "not_evaluated".
    """

    what: str
    run: Callable[[Path, list[list[int]], Path], dict[str, Any]]


@dataclass(frozen=True)
class Built:
    """A builder's result.

    Attributes:
        files: below the bundle's root, the main one first.
        format: of the main file, e.g. "onnx".
        details: what the backend must know or a person may ask.
        for_elsewhere: the files are machine code for devices that this machine need not be.
        evaluation: of files whose library runs elsewhere alone; `proving` uses it where they cannot be run.
    """

    files: tuple[Path, ...]
    format: str
    details: dict[str, str] = field(default_factory=dict)
    for_elsewhere: bool = False
    evaluation: Evaluation | None = None


class Builder:
    """Builds artifacts for one backend.

    Attributes:
        precisions: what the backend can compute in, and the conversion that each is built from.
        formats: other formats than its usual one, by name: what each is built from, by precision.
        of_7_bits: the conversion with int8 weights of 7 bits in the place of one with 8.
    """

    precisions: ClassVar[dict[str, str]]
    formats: ClassVar[dict[str, dict[str, str]]] = {}
    of_7_bits: ClassVar[dict[str, str]] = {}

    @classmethod
    def conversion(cls, target: Target) -> str:
        """The conversion that a target is built from.

        Raises:
            ConfigError: the backend is not built in that precision or format, or not with weights of so many bits.
        """
        known = cls.precisions if not target.format else cls.formats.get(target.format)
        if known is None:
            allowed = ", ".join(cls.formats) or "none but its usual one"
            raise ConfigError(f"{target.name}: {target.backend} has no format {target.format!r}; one of: {allowed}.")
        if target.precision not in known:
            built = f"{target.backend} ({target.format})" if target.format else target.backend
            raise ConfigError(
                f"{target.name}: {built} is not built in {target.precision}; one of: {', '.join(known)}."
                f"{why_none(target.precision)}"
            )
        conversion = known[target.precision]
        if target.weight_bits == FULL_BITS:
            return conversion
        if conversion not in cls.of_7_bits:
            raise ConfigError(
                f"{target.name}: {target.backend} in {target.precision} has no weights of {target.weight_bits} bits: "
                "remove the key `weight_bits`."
            )
        return cls.of_7_bits[conversion]

    @staticmethod
    def file_name(target: Target, suffix: str, precision: str = "") -> str:
        """What targets of one precision share; those for one number of images have files of their own.

        Args:
            target: the deploy config.
            suffix: without a dot.
            precision: that the file is stored in, where it is not the target's.
        """
        bits = "" if target.weight_bits == FULL_BITS else f".w{target.weight_bits}"
        fixed = "" if target.batch.fixed is None else f".b{target.batch.fixed}"
        return f"model.{precision or target.precision}{bits}{fixed}.{suffix}"

    @classmethod
    def toolchain_missing(cls, target: Target) -> str:
        """What `build` lacks here for a target and how to get it, in one sentence; empty where it can be tried."""
        return ""

    def build(self, target: Target, ingredients: Ingredients) -> Built:
        """Write the artifact's files.

        Raises:
            MissingDependencyError: the toolchain is not installed; names the extra.
            ExportError: the toolchain refuses the graph; says why in its own words.
        """
        raise NotImplementedError


BUILDERS: Registry[type[Builder]] = Registry("backend", __package__, "edgedistill.builders")
