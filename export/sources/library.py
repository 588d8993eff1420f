"""A timm/ or torchvision/ network with weights that somebody trained."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
from torch import nn

from ...distill.models import ModelSpec, build_from_spec
from ...distill.models.library_inputs import own_preprocessing
from ...distill.models.size import require_size
from ...distill.models.weights import read_weights
from ...runtime.errors import CheckpointError, ConfigError
from ...runtime.files import sha256_of
from .base import make_card, preprocessing_text
from .pytorch import PyTorchSource


def from_library(
    name: str,
    weights: str | Path,
    *,
    classes: Sequence[str],
    size: tuple[int, int] | None = None,
    resize: Literal["squash", "center_crop"] | None = None,
    interpolation: Literal["bilinear", "bicubic"] | None = None,
    mean: tuple[float, float, float] | None = None,
    std: tuple[float, float, float] | None = None,
    thresholds: Sequence[float] | None = None,
) -> PyTorchSource:
    """A network of a library, whole, with its own classifier.

    What is not said of the images is what the library says of its own weights for this network.

    Args:
        name: `timm/<name>` or `torchvision/<name>`.
        weights: .safetensors, or a torch file of plain tensors: nothing in it is executed.
        classes: C names in the order of the logits, which are of independent labels: a sigmoid reads them.
        size: (height, width) in pixels.
        resize: see `Preprocessing`; "squash" when absent.
        interpolation: see `Preprocessing`.
        mean: per RGB channel, in [0, 1] units.
        std: per RGB channel, in [0, 1] units.
        thresholds: (C,) probabilities from which a label is reported; 0.5 when absent.

    Raises:
        ConfigError: there is no such network, it takes no such images, or a number has no sense.
        CheckpointError: the weights cannot be read, or are of another network or of other classes.
    """
    weights = Path(weights)
    library = name.partition("/")[0]
    if library not in ("timm", "torchvision"):
        raise ConfigError(f"--model {name}: give timm/<name> or torchvision/<name>; a student is given by its file.")
    if not weights.is_file():
        raise CheckpointError(f"{weights}: no such weights file.")
    given = {"size": size, "resize": resize, "interpolation": interpolation, "mean": mean, "std": std}
    said = {key: value for key, value in given.items() if value is not None}
    preprocessing = msgspec.structs.replace(own_preprocessing(name), **said)
    card = make_card(
        name=weights.stem,
        model=name,
        classes=classes,
        preprocessing=preprocessing,
        sha256=sha256_of(weights),
        thresholds=thresholds,
    )
    spec = ModelSpec(name=name, head="library", pretrained=str(weights))
    model = build_from_spec(spec, len(card.classes), mean=preprocessing.mean, std=preprocessing.std)
    if not model.head_is_pretrained:
        raise CheckpointError(f"{weights}: {_misfit(model, weights)}")
    require_size(model, preprocessing.size, where="--size", name=name)
    reading = f"{preprocessing_text(preprocessing)}; what was not said of them is as {library} has it."
    return PyTorchSource(model.eval().requires_grad_(False), card, reading=reading)


def _misfit(model: nn.Module, weights: Path) -> str:
    """Which tensor of the network's classifier the file lacks, or has in another shape."""
    held = {key: tuple(value.shape) for key, value in read_weights(weights).items()}
    for path, value in model.state_dict().items():
        parts = path.split(".")
        key = next((end for at in range(len(parts)) if (end := ".".join(parts[at:])) in held), "")
        if not key and not path.endswith("num_batches_tracked"):
            return f"holds no {path.removeprefix('backbone.model.')}, a part of the network's classifier."
        if key and held[key] != tuple(value.shape):
            return f"its {key} is {held[key]}, and the classes that are named need {tuple(value.shape)}."
    return "its classifier does not fit the network."
