"""Training augmentations by name. Each sees one image and draws from torch's generator only, so it can be replayed."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, TypeAlias

import torch
from msgspec import Meta
from torch import Tensor, nn
from torchvision.transforms import v2

from ...runtime.config import Config, decode_tagged
from ...runtime.errors import ConfigError, first_line
from ...runtime.preprocess import IMAGENET_MEAN
from ...runtime.registry import Registry
from .torchvision_steps import PREFIX, TorchvisionStep, read_torchvision_step
from .transforms import Cutout, Erasing, HorizontalFlip, MultiScaleCrop, OnBatch, OnPillow, ReflectingShift

AUGMENTATIONS: Registry[type["Augmentation"]] = Registry("augmentation", __name__)


_TRIALS = 3


class Augmentation(Config):
    """One step of a recipe's `augment:` list.

    Attributes:
        edition: counts how often its pixels changed for equal options and draws; part of the key of what is stored.
    """

    edition: ClassVar[int] = 1

    def build(self, size: tuple[int, int]) -> nn.Module:
        """A module on uint8 tensors (3, H, W), fastest where the channels of a pixel lie together in memory.

        Args:
            size: (height, width) that the network takes, and the images have.
        """
        raise NotImplementedError


Step: TypeAlias = Augmentation | TorchvisionStep


@AUGMENTATIONS.register("flip")
class Flip(Augmentation):
    """Horizontal mirror."""

    probability: Annotated[float, Meta(ge=0, le=1)] = 0.5

    def build(self, size: tuple[int, int]) -> nn.Module:
        return HorizontalFlip(self.probability)


@AUGMENTATIONS.register("shift")
class Shift(Augmentation):
    """Crop at a random offset after reflecting `fraction` of each side outwards."""

    fraction: Annotated[float, Meta(ge=0, lt=1)] = 0.125

    def build(self, size: tuple[int, int]) -> nn.Module:
        height, width = (min(max(1, round(side * self.fraction)), side - 1) for side in size)
        return ReflectingShift((height, width))


@AUGMENTATIONS.register("random_resized_crop")
class RandomResizedCrop(Augmentation):
    """Multi-scale crop, resized back to the network's size."""

    min_scale: Annotated[float, Meta(gt=0, le=1)] = 0.3

    def build(self, size: tuple[int, int]) -> nn.Module:
        return OnBatch(v2.RandomResizedCrop(size, scale=(self.min_scale, 1.0), antialias=True))


@AUGMENTATIONS.register("multi_scale_crop")
class MultiScaleCropSpec(Augmentation):
    """Crop of one of five sizes at one of 13 places, resized back: UD's, from ML-GCN's code (Chen et al., CVPR 2019).

    Attributes:
        scales: sides of a crop, as shares of the image's.
        max_distort: how many places in `scales` its height and width may be apart.
    """

    scales: Annotated[tuple[Annotated[float, Meta(gt=0, le=1)], ...], Meta(min_length=1)] = (
        1.0,
        0.875,
        0.75,
        0.66,
        0.5,
    )
    max_distort: Annotated[int, Meta(ge=0)] = 2

    def build(self, size: tuple[int, int]) -> nn.Module:
        if int(min(size) * min(self.scales)) < 1:
            raise ValueError(f"scale {min(self.scales):g} leaves no pixel of {size[0]} x {size[1]}")
        return MultiScaleCrop(size, self.scales, self.max_distort)


@AUGMENTATIONS.register("random_erasing")
class RandomErasing(Augmentation):
    """Random erasing (Zhong et al. 2017): one rectangle of 2 to 33 % of the area, in ImageNet's mean colour."""

    probability: Annotated[float, Meta(ge=0, le=1)] = 0.5

    def build(self, size: tuple[int, int]) -> nn.Module:
        # What the usual pipelines erase with is 0 after normalisation.
        return Erasing(self.probability, [round(255 * channel) for channel in IMAGENET_MEAN])


@AUGMENTATIONS.register("cutout")
class CutoutSpec(Augmentation):
    """Cutout (DeVries & Taylor 2017), as the L2D and CPSD authors' code has it: one square of a random colour."""

    factor: Annotated[float, Meta(ge=0, le=1)] = 0.5

    def build(self, size: tuple[int, int]) -> nn.Module:
        return Cutout(self.factor)


@AUGMENTATIONS.register("rand_augment")
class RandAugment(Augmentation):
    """RandAugment (Cubuk et al. 2020), with Pillow's operations, four times as fast as those on tensors."""

    edition = 2  # 1 was on tensors, which round differently
    operations: Annotated[int, Meta(ge=0)] = 2
    magnitude: Annotated[int, Meta(ge=0, lt=31)] = 9  # of torchvision's 31 steps

    def build(self, size: tuple[int, int]) -> nn.Module:
        return OnPillow(v2.RandAugment(self.operations, self.magnitude))


def read_augmentations(steps: Sequence[Any], *, where: str, prefix: str = "train.augment") -> list[Step]:
    """A recipe's list of names or {name: ..., option: ...} mappings, checked."""
    return [_read(step, where, prefix) for step in steps]


def build_augmentations(steps: Sequence[Step], size: tuple[int, int], *, where: str = "augment") -> nn.Sequential:
    """One module on uint8 (3, H, W) that applies the steps in order.

    Args:
        steps: of a recipe.
        size: (height, width) that the network takes, and the images have.
        where: the file and the key, for messages.

    Raises:
        ConfigError: a parameter is impossible, or the steps make anything but an image of the same size.
    """
    try:
        built = nn.Sequential(*[step.build(size) for step in steps])
    except ValueError as error:
        raise ConfigError(f"{where}: {first_line(error).rstrip('.')}.") from error
    _try(built, size, where)
    return built


def _read(step: Any, where: str, prefix: str) -> Step:
    plain = {"name": step} if isinstance(step, str) else step
    if isinstance(plain, dict) and isinstance(plain.get("name"), str) and plain["name"].startswith(PREFIX):

        def read(steps: list[Any], key: str) -> list[Step]:
            return read_augmentations(steps, where=where, prefix=key)

        return read_torchvision_step(plain, where=where, prefix=prefix, read=read)
    return decode_tagged(step, AUGMENTATIONS, tag="name", where=where, prefix=prefix)


def _try(built: nn.Sequential, size: tuple[int, int], where: str) -> None:
    """Apply the steps to noise a few times: what is told only then is told before the training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pixels = torch.randint(256, (*size, 3), dtype=torch.uint8)
        for _ in range(_TRIALS):
            try:
                found = built(pixels.permute(2, 0, 1))
            except Exception as error:
                said = first_line(error).rstrip(".")
                raise ConfigError(f"{where}: cannot be applied to an image: {said}.") from error
            told = f"{found.dtype} {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            if told != f"torch.uint8 {(3, *size)}":
                raise ConfigError(
                    f"{where}: makes {told} of an image, not torch.uint8 {(3, *size)}: the network takes images of one "
                    "size, which are normalised later. Leave such a step out, or add its counterpart."
                )
