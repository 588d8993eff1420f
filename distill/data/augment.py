"""Training augmentations by name. Each sees one image and draws from torch's generator only, so it can be replayed."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from ...runtime.config import Config, decode_tagged
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
