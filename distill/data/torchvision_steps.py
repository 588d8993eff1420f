"""Any transform of `torchvision.transforms.v2` as an augmentation, by its name and its own parameters."""

import difflib
import inspect
from collections.abc import Callable
from enum import Enum
from typing import Any, ClassVar

import torch
import torchvision
from torch import nn
from torchvision.transforms import InterpolationMode, v2

from ...runtime.config import Config
from ...runtime.errors import ConfigError, first_line
from .transforms import OnPillow

PREFIX = "v2."

# On Pillow images these are faster, and do the same.
_ON_PILLOW = {"AugMix", "AutoAugment", "RandAugment", "TrivialAugmentWide", "ColorJitter", "RandomGrayscale"}
_ON_PILLOW |= {"RandomAdjustSharpness", "RandomAutocontrast", "RandomEqualize", "RandomInvert", "RandomPosterize"}
_ON_PILLOW |= {"RandomSolarize", "RandomAffine", "RandomPerspective", "RandomRotation"}
_ON_BATCHES = ("MixUp", "CutMix")
_ENUMERATIONS: dict[str, type[Enum]] = {"interpolation": InterpolationMode, "policy": v2.AutoAugmentPolicy}
_VALUES: dict[str, Callable[[str], Any]] = {**_ENUMERATIONS, "dtype": lambda name: getattr(torch, name)}


class TorchvisionStep(Config):
    """One transform.

        {name: v2.ColorJitter, brightness: 0.4, contrast: 0.4}
        {name: v2.RandomApply, p: 0.3, transforms: [{name: v2.GaussianBlur, kernel_size: 9}]}

    Attributes:
        transform: name of the class in `torchvision.transforms.v2`.
        options: its parameters as a recipe has them, enumerations and dtypes by their names; `transforms` are steps.
        version: torchvision's, which decides the pixels too.
    """

    edition: ClassVar[int] = 1
    transform: str
    options: dict[str, Any]
    version: str = torchvision.__version__

    def build(self, size: tuple[int, int]) -> nn.Module:
        """As `Augmentation.build`; raises ValueError, in torchvision's words, for parameters that it refuses."""
        try:
            options = {key: _value(key, value, size) for key, value in self.options.items()}
            built = getattr(v2, self.transform)(**options)
        except ConfigError:
            raise
        except Exception as error:  # whatever its constructors raise
            raise ValueError(f"{PREFIX}{self.transform}: {first_line(error).rstrip('.')}") from error
        return OnPillow(built) if self.transform in _ON_PILLOW else built


def read_torchvision_step(
    step: dict[str, Any], *, where: str, prefix: str, read: Callable[[list[Any], str], list[Any]]
) -> TorchvisionStep:
    """A step whose `name` begins with "v2.", its parameters checked against the class's own.

    Args:
        step: as a recipe has it.
        where: for messages.
        prefix: of its key.
        read: makes steps of the `transforms` that it applies, given their key.

    Raises:
        ConfigError: there is no such transform, it has no such parameter, or lacks one.
    """
    told = f"{where}: `{prefix}`"
    name = step["name"].removeprefix(PREFIX)
    names = _names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {PREFIX}{near[0]}?" if near else ""
        raise ConfigError(f"{told}: torchvision.transforms.v2 has no transform {name!r}.{hint}")
    if name in _ON_BATCHES:
        raise ConfigError(
            f"{told}: {PREFIX}{name} mixes a batch, labels too: write `mix: {{name: {name.lower()}}}` beside `augment`."
        )
    options = {key: value for key, value in step.items() if key != "name"}
    parameters = inspect.signature(getattr(v2, name)).parameters
    unknown = [key for key in options if key not in parameters]
    lacking = [key for key, one in parameters.items() if one.default is one.empty and key not in options]
    if unknown or lacking:
        what = f"has no parameter {unknown[0]!r}" if unknown else f"needs {lacking[0]!r}"
        raise ConfigError(f"{told}: {PREFIX}{name} {what}. Its parameters: {', '.join(parameters)}.")
    if isinstance(options.get("transforms"), list):
        options["transforms"] = read(options["transforms"], f"{prefix}.transforms")
    return TorchvisionStep(transform=name, options=options)


def _names() -> list[str]:
    return [
        name
        for name, found in vars(v2).items()
        if inspect.isclass(found) and issubclass(found, v2.Transform) and found is not v2.Transform
    ]


def _value(key: str, value: Any, size: tuple[int, int]) -> Any:
    if key == "transforms" and isinstance(value, list):
        return [step.build(size) for step in value]
    if key not in _VALUES or not isinstance(value, str):
        return value
    try:
        return _VALUES[key](value)
    except ValueError as error:
        known = ", ".join(str(one.value) for one in _ENUMERATIONS[key])
        raise ValueError(f"{first_line(error)}; {key} is one of {known}") from None
