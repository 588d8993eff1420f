"""Training augmentations by name. Each sees one image and draws from torch's generator only, so it can be replayed."""

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from msgspec import Meta
from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from ...runtime.config import Config, decode_tagged
from ...runtime.preprocess import IMAGENET_MEAN
from ...runtime.registry import Registry

AUGMENTATIONS: Registry[type["Augmentation"]] = Registry("augmentation", __name__)


class Augmentation(Config):
    """One step of a recipe's `augment:` list."""

    def build(self, size: tuple[int, int]) -> nn.Module:
        """A module on uint8 tensors (3, H, W); `size` is the (height, width) that the network takes."""
        raise NotImplementedError


@AUGMENTATIONS.register("flip")
class Flip(Augmentation):
    """Horizontal mirror."""

    probability: float = 0.5

    def build(self, size: tuple[int, int]) -> nn.Module:
        return v2.RandomHorizontalFlip(self.probability)


@AUGMENTATIONS.register("shift")
class Shift(Augmentation):
    """Crop at a random offset after reflecting `fraction` of each side outwards."""

    fraction: float = 0.125

    def build(self, size: tuple[int, int]) -> nn.Module:
        pad = [max(1, round(side * self.fraction)) for side in size]
        return v2.RandomCrop(size, padding=[pad[1], pad[0]], padding_mode="reflect")


@AUGMENTATIONS.register("random_resized_crop")
class RandomResizedCrop(Augmentation):
    """Multi-scale crop, resized back to the network's size."""

    min_scale: float = 0.3

    def build(self, size: tuple[int, int]) -> nn.Module:
        return v2.RandomResizedCrop(size, scale=(self.min_scale, 1.0), antialias=True)


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
        return MultiScaleCrop(size, self.scales, self.max_distort)


@AUGMENTATIONS.register("random_erasing")
class RandomErasing(Augmentation):
    """Random erasing (Zhong et al. 2017): one rectangle of 2 to 33 % of the area, in ImageNet's mean colour."""

    probability: Annotated[float, Meta(ge=0, le=1)] = 0.5

    def build(self, size: tuple[int, int]) -> nn.Module:
        # What the usual pipelines erase with is 0 after normalisation.
        return v2.RandomErasing(self.probability, value=[round(255 * channel) for channel in IMAGENET_MEAN])


@AUGMENTATIONS.register("cutout")
class CutoutSpec(Augmentation):
    """Cutout (DeVries & Taylor 2017), as the L2D and CPSD authors' code has it: one square of a random colour."""

    factor: float = 0.5

    def build(self, size: tuple[int, int]) -> nn.Module:
        return Cutout(self.factor)


@AUGMENTATIONS.register("rand_augment")
class RandAugment(Augmentation):
    """RandAugment (Cubuk et al. 2020)."""

    operations: int = 2
    magnitude: int = 9

    def build(self, size: tuple[int, int]) -> nn.Module:
        return v2.RandAugment(self.operations, self.magnitude)


class MultiScaleCrop(nn.Module):
    """See MultiScaleCropSpec: the 13 places are a 3 x 3 grid from edge to edge and the centres of its four cells."""

    PLACES = tuple((row, column) for row in range(5) for column in range(5) if row % 2 == column % 2)

    def __init__(self, size: tuple[int, int], scales: Sequence[float], max_distort: int) -> None:
        super().__init__()
        self.size = size
        self.pairs = [
            (tall, wide) for i, tall in enumerate(scales) for j, wide in enumerate(scales) if abs(i - j) <= max_distort
        ]

    def forward(self, image: Tensor) -> Tensor:
        """uint8 (3, H, W) -> (3, *size)."""
        _, height, width = image.shape
        tall, wide = self.pairs[int(torch.randint(len(self.pairs), ()))]
        row, column = self.PLACES[int(torch.randint(len(self.PLACES), ()))]
        crop_height, crop_width = int(height * tall), int(width * wide)
        top, left = row * ((height - crop_height) // 4), column * ((width - crop_width) // 4)
        return functional.resized_crop(image, top, left, crop_height, crop_width, list(self.size), antialias=True)


class Cutout(nn.Module):
    """Paints a square of side `factor` x image side, centred anywhere, clipped at the border, in a random colour."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, image: Tensor) -> Tensor:
        """uint8 (3, H, W) -> the same, a copy."""
        _, height, width = image.shape
        row, column = (int(torch.randint(side, ())) for side in (height, width))
        half_height, half_width = int(height * self.factor) // 2, int(width * self.factor) // 2
        image = image.clone()
        window = image[
            :,
            max(0, row - half_height) : row + half_height,
            max(0, column - half_width) : column + half_width,
        ]
        window[:] = torch.randint(256, (3, 1, 1), dtype=torch.uint8)
        return image


def read_augmentations(steps: Sequence[Any], *, where: str, prefix: str = "train.augment") -> list[Augmentation]:
    """A recipe's list of names or {name: ..., option: ...} mappings, checked."""
    return [decode_tagged(step, AUGMENTATIONS, tag="name", where=where, prefix=prefix) for step in steps]


def build_augmentations(steps: Sequence[Augmentation], size: tuple[int, int]) -> nn.Sequential:
    """One module on uint8 (3, H, W) that applies the steps in order."""
    return nn.Sequential(*[step.build(size) for step in steps])
