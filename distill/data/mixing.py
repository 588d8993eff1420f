"""Two photographs and their labels in one: mixup and CutMix for several labels."""

from typing import Annotated, TypeAlias

import numpy as np
import torch
from msgspec import Meta
from torch import Tensor

from ...runtime.config import Config
from ...runtime.datasets import UNKNOWN


class _Mix(Config, tag_field="name"):
    """What both have in common.

    Attributes:
        alpha: of the symmetric beta distribution that the first image's share is drawn from.
        probability: that an image is mixed with another at all.
    """

    alpha: Annotated[float, Meta(gt=0)] = 1.0
    probability: Annotated[float, Meta(gt=0, le=1)] = 1.0

    def images(self, first: Tensor, second: Tensor, draws: np.random.Generator) -> tuple[Tensor, float]:
        """Two uint8 images (H, W, 3) in one, and the first one's share of it."""
        raise NotImplementedError


class MixUp(_Mix, tag="mixup"):
    """mixup (Zhang et al., ICLR 2018): one image shines through the other; alpha 0.2 is its ImageNet setting."""

    alpha: Annotated[float, Meta(gt=0)] = 0.2

    def images(self, first: Tensor, second: Tensor, draws: np.random.Generator) -> tuple[Tensor, float]:
        """See `_Mix`; rounded to whole levels."""
        share = float(draws.beta(self.alpha, self.alpha))
        return torch.lerp(second.float(), first.float(), share).round().to(torch.uint8), share


class CutMix(_Mix, tag="cutmix"):
    """CutMix (Yun et al., ICCV 2019): a rectangle of one image lies over the other; labels by area."""

    def images(self, first: Tensor, second: Tensor, draws: np.random.Generator) -> tuple[Tensor, float]:
        """See `_Mix`; the rectangle is clipped at the border, and the share is that of what is left."""
        height, width = first.shape[:2]
        side = (1.0 - draws.beta(self.alpha, self.alpha)) ** 0.5
        row, column = draws.integers(height), draws.integers(width)
        top, bottom = (int(np.clip(row + sign * height * side / 2, 0, height)) for sign in (-1, 1))
        left, right = (int(np.clip(column + sign * width * side / 2, 0, width)) for sign in (-1, 1))
        mixed = first.clone()
        mixed[top:bottom, left:right] = second[top:bottom, left:right]
        return mixed, 1.0 - (bottom - top) * (right - left) / (height * width)


Mix: TypeAlias = MixUp | CutMix


def mix_labels(first: Tensor, second: Tensor, share: float) -> Tensor:
    """Labels (C,) in {0, 1, -1} -> float32 (C,) in [0, 1], or -1 where a label of an image that is seen is unknown."""
    if share in (0.0, 1.0):
        return (first if share else second).float()
    mixed = torch.lerp(second.float(), first.float(), share)
    return mixed.masked_fill((first == UNKNOWN) | (second == UNKNOWN), float(UNKNOWN))
