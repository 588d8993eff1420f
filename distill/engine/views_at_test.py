"""Test-time augmentation: a network asked about several views of each image, its logits averaged."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

ViewAtTest: TypeAlias = Literal["flip", "crops"]
VIEWS: tuple[ViewAtTest, ...] = ("flip", "crops")
_SHARE = 0.875  # of each side, in a crop


def views_at_test(images: Tensor, chosen: Sequence[ViewAtTest]) -> list[Tensor]:
    """The images as they are first, then as `chosen`.

    Args:
        images: uint8 (B, H, W, 3).
        chosen: "crops" adds the four corners and the centre of 7/8 of each side, resized back; "flip" adds the mirror
            image of everything.
    """
    found = [images]
    if "crops" in chosen:
        height, width = images.shape[1:3]
        tall, wide = round(height * _SHARE), round(width * _SHARE)
        bottom, right = height - tall, width - wide
        corners = ((0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2))
        for top, left in corners:
            crop = images[:, top : top + tall, left : left + wide].permute(0, 3, 1, 2).float()
            resized = F.interpolate(crop, size=(height, width), mode="bilinear", antialias=True)
            found.append(resized.round().to(torch.uint8).permute(0, 2, 3, 1))
    if "flip" in chosen:
        found += [view.flip(2) for view in found]
    return found
