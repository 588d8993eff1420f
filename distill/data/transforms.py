"""What the built-in augmentations compute: on uint8 pixels, one image at a time, without a copy that is not needed.

All take and give uint8 tensors (3, H, W). The pixels come from a decoder, so that the channels of one pixel lie
together in memory; keeping it so is what makes these faster than torchvision's transforms of the same names, which
draw the same random numbers and give the same pixels.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.v2 import functional


class HorizontalFlip(nn.Module):
    """Horizontal mirror, with a probability."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, image: Tensor) -> Tensor:
        """uint8 (3, H, W) -> the same, mirrored or not."""
        if torch.rand(1) >= self.probability:
            return image
        return image.permute(1, 2, 0).flip(1).permute(2, 0, 1)  # a row of whole pixels is reversed at once


class ReflectingShift(nn.Module):
    """Moves the image by up to `most` (rows, columns), any number of them equally likely; edges are reflected."""

    def __init__(self, most: tuple[int, int]) -> None:
        super().__init__()
        self.most = most

    def forward(self, image: Tensor) -> Tensor:
        """uint8 (3, H, W) -> the same size."""
        pixels = image.permute(1, 2, 0)
        offsets = [int(torch.randint(0, 2 * most + 1, ())) - most for most in self.most]
        for side, offset in enumerate(offsets):
            pixels = _moved(pixels, offset, side)
        return pixels.permute(2, 0, 1)


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
        batch = as_batch(image)
        return functional.resized_crop(batch, top, left, crop_height, crop_width, list(self.size), antialias=True)[0]


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


class OnBatch(nn.Module):
    """A transform that is faster on a batch of one, see `as_batch`."""

    def __init__(self, transform: nn.Module) -> None:
        super().__init__()
        self.transform = transform

    def forward(self, image: Tensor) -> Tensor:
        """uint8 (3, H, W) -> what the transform makes of it."""
        return self.transform(as_batch(image))[0]


class OnPillow(nn.Module):
    """A transform of Pillow images, as one of tensors."""

    def __init__(self, transform: Callable[[Image.Image], Image.Image]) -> None:
        super().__init__()
        self.transform = transform

    def forward(self, image: Tensor) -> Tensor:
        """uint8 (3, H, W) -> what the transform makes of it."""
        pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
        return torch.from_numpy(np.array(self.transform(Image.fromarray(pixels)))).permute(2, 0, 1)


def as_batch(image: Tensor) -> Tensor:
    """uint8 (3, H, W) -> (1, 3, H, W), in which PyTorch's resize sees that a pixel's channels lie together."""
    return image.permute(1, 2, 0)[None].permute(0, 3, 1, 2)


def _moved(pixels: Tensor, offset: int, side: int) -> Tensor:
    """Positions `offset` to `offset` + n - 1 along `side`, where those outside of 0 to n - 1 are reflected."""
    length = pixels.shape[side]
    if offset < 0:
        outside = pixels.narrow(side, 1, -offset).flip(side)
        return torch.cat([outside, pixels.narrow(side, 0, length + offset)], side)
    if offset > 0:
        outside = pixels.narrow(side, length - 1 - offset, offset).flip(side)
        return torch.cat([pixels.narrow(side, offset, length - offset), outside], side)
    return pixels
