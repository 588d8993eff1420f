"""The network that `export` was given, told apart and checked before torch is imported."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgedistill.runtime.errors import CheckpointError, ConfigError

from .checkpoints import checkpoint_classes
from .model_options import parse_channels, parse_size

if TYPE_CHECKING:
    from edgedistill.export.sources import Source

_LIBRARIES = ("timm", "torchvision")


@dataclass(frozen=True)
class AskedNetwork:
    """A network that is not loaded yet.

    Attributes:
        classes: C names in the order of the logits.
        sha256: over its files and over all that was said of it.
        load: gives the network.
    """

    classes: tuple[str, ...]
    sha256: str
    load: "Callable[[], Source]"


def asked_network(
    file: Path | None, model: str | None, weights: Path | None, classes: Path | None, **images: str | None
) -> AskedNetwork:
    """What is to be exported: a student's checkpoint, an .onnx file, or a library's network with its weights.

    Args:
        file: the checkpoint or the .onnx file.
        model: `timm/<name>` or `torchvision/<name>`.
        weights: of `model`.
        classes: a text file or a .json list.
        images: `size`, `resize`, `interpolation`, `mean` and `std`, as they were written.

    Raises:
        ConfigError: the options do not go together, or one has no sense.
        CheckpointError: the student or the weights are missing, or are no checkpoint of ours.
        DataError: the class list is faulty.
        ExportError: the .onnx file is no classifier.
    """
    if (file is None) == (model is None):
        raise ConfigError(
            "give one network: a student.safetensors, an .onnx file, or --model timm/NAME with --weights."
        )
    if weights is not None and model is None:
        raise ConfigError(f"--weights {weights}: are those of --model timm/NAME; {file} holds its own.")
    said = _said(images)
    if model is not None:
        return _of_library(model, weights, classes, said)
    assert file is not None
    if file.suffix.lower() == ".onnx":
        return _of_onnx(file, classes, said)
    if classes is not None or said:
        options = ", ".join(f"--{name}" for name in (*(["classes"] if classes else []), *said))
        raise ConfigError(f"{options}: {file} is a student, whose checkpoint says this itself.")
    return _of_student(file)


def _said(images: dict[str, str | None]) -> dict[str, Any]:
    said: dict[str, Any] = {name: value for name, value in images.items() if value is not None}
    for name in {"mean", "std"} & set(said):
        said[name] = parse_channels(f"--{name}", said[name])
    if any(value <= 0 for value in said.get("std", ())):
        raise ConfigError(f"--std {images['std']}: needs numbers above 0.")
    if "size" in said:
        sides = parse_size(said["size"])
        said["size"] = (sides, sides) if isinstance(sides, int) else sides
    return said


def _of_student(file: Path) -> AskedNetwork:
    from edgedistill.runtime.files import sha256_of

    def load() -> "Source":
        from edgedistill.distill.checkpoint import load_student
        from edgedistill.export.sources.pytorch import from_student

        return from_student(load_student(file))

    return AskedNetwork(checkpoint_classes(file), sha256_of(file), load)


def _of_library(model: str, weights: Path | None, classes: Path | None, said: dict[str, Any]) -> AskedNetwork:
    from edgedistill.runtime.files import sha256_of

    if model.partition("/")[0] not in _LIBRARIES or not model.partition("/")[2]:
        raise ConfigError(f"--model {model}: give timm/NAME or torchvision/NAME; a student is given by its file.")
    if weights is None or classes is None:
        lacking = "--weights" if weights is None else "--classes"
        raise ConfigError(f"--model {model}: {lacking} is missing: give the weights' file and their classes' names.")
    if not weights.is_file():
        raise CheckpointError(f"{weights}: no such weights file.")
    names = _names(classes)

    def load() -> "Source":
        from edgedistill.export.sources.library import from_library

        return from_library(model, weights, classes=names, **said)

    return AskedNetwork(names, _digest(sha256_of(weights), model, names, said), load)


def _of_onnx(file: Path, classes: Path | None, said: dict[str, Any]) -> AskedNetwork:
    from edgedistill.export.conversions.onnx_check import require_modules
    from edgedistill.export.sources.onnx_file import from_onnx

    require_modules("onnx", "onnxruntime")
    source = from_onnx(file, classes=None if classes is None else _names(classes), **said)
    card = source.card
    return AskedNetwork(card.classes, _digest(card.sha256, file.name, card.classes, said), lambda: source)


def _names(path: Path) -> tuple[str, ...]:
    from edgedistill.runtime.datasets.reading import class_list

    names = class_list(str(path), Path())
    assert names is not None
    return names


def _digest(*parts: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()
