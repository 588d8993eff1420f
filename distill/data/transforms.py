"""What the built-in augmentations compute: on uint8 pixels, one image at a time, without a copy that is not needed.

All take and give uint8 tensors (3, H, W). The pixels come from a decoder, so that the channels of one pixel lie
together in memory; keeping it so is what makes these faster than torchvision's transforms of the same names, which
draw the same random numbers and give the same pixels.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional


class Batchable(nn.Module):
    """A transform that a device computes for a whole batch at once, with the very pixels of image by image.

    It is a function of a few whole numbers, which are drawn on the host from torch's generator.
    """

    @abstractmethod
    def draw(self, height: int, width: int) -> list[int]:
        """What decides the pixels of one image of that size; always as many numbers."""

    @abstractmethod
    def batch(self, images: Tensor, draws: Tensor) -> Tensor:
        """uint8 (B, H, W, 3), and int64 (B, K), what was drawn for each image, on the same device -> the same shape."""


class HorizontalFlip(Batchable):
    """Horizontal mirror, with a probability."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def draw(self, height: int, width: int) -> list[int]:
        """Whether it is mirrored."""
        return [int(torch.rand(1) < self.probability)]

    def forward(self, image: Tensor) -> Tensor:
        """uint8 (3, H, W) -> the same, mirrored or not."""
        if self.draw(*image.shape[1:]) == [0]:
            return image
        return image.permute(1, 2, 0).flip(1).permute(2, 0, 1)  # a row of whole pixels is reversed at once

    def batch(self, images: Tensor, draws: Tensor) -> Tensor:
        """See `Batchable`."""
        return torch.where(draws[:, 0, None, None, None] == 1, images.flip(2), images)


class ReflectingShift(Batchable):
    """Moves the image by up to `most` (rows, columns), any number of them equally likely; edges are reflected."""

    def __init__(self, most: tuple[int, int]) -> None:
        super().__init__()
        self.most = most

    def draw(self, height: int, width: int) -> list[int]:
        """Rows and columns that it is moved by."""
        return [int(torch.randint(0, 2 * most + 1, ())) - most for most in self.most]

    def forward(self, image: Tensor) -> Tensor:
        """uint8 (3, H, W) -> the same size."""
        pixels = image.permute(1, 2, 0)
        for side, offset in enumerate(self.draw(*image.shape[1:])):
            pixels = _moved(pixels, offset, side)
        return pixels.permute(2, 0, 1)

    def batch(self, images: Tensor, draws: Tensor) -> Tensor:
        """See `Batchable`."""
        rows, columns = (_reflected(draws[:, side], images.shape[1 + side]) for side in (0, 1))
        image = torch.arange(len(images), device=images.device)[:, None, None]
        return images[image, rows[:, :, None], columns[:, None, :]]


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


class Cutout(Batchable):
    """Paints a square of side `factor` x image side, centred anywhere, clipped at the border, in a random colour."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def draw(self, height: int, width: int) -> list[int]:
        """First row, row after the last, first column, column after the last, and the colour."""
        row, column = (int(torch.randint(side, ())) for side in (height, width))
        half_height, half_width = int(height * self.factor) // 2, int(width * self.factor) // 2
        rows, columns = (
            (max(0, row - half_height), row + half_height),
            (max(0, column - half_width), column + half_width),
        )
        return [*rows, *columns, *torch.randint(256, (3, 1, 1), dtype=torch.uint8).flatten().tolist()]

    def forward(self, image: Tensor) -> Tensor:
        """uint8 (3, H, W) -> the same, a copy."""
        top, bottom, left, right, *colour = self.draw(*image.shape[1:])
        pixels = image.permute(1, 2, 0).clone(memory_format=torch.contiguous_format)
        # A row of bytes at a time: pixel by pixel, three bytes each, takes 40 times as long. By NumPy, whose calls cost
        # less where there is so little to do: two thirds of the time altogether.
        part = pixels.flatten(1).numpy()[top:bottom, 3 * left : 3 * right]
        part[:] = np.tile(np.array(colour, np.uint8), part.shape[1] // 3)
        return pixels.permute(2, 0, 1)

    def batch(self, images: Tensor, draws: Tensor) -> Tensor:
        """See `Batchable`."""
        return _painted(images, draws)


class Erasing(Batchable):
    """torchvision's RandomErasing in one colour."""

    def __init__(self, probability: float, colour: Sequence[int]) -> None:
        super().__init__()
        self.colour, self.rectangle = list(colour), v2.RandomErasing(probability, value=list(colour))

    def draw(self, height: int, width: int) -> list[int]:
        """As Cutout's; a rectangle of no rows where nothing is erased."""
        nothing = [0, 0, 0, 0, *self.colour]
        if torch.rand(1) >= self.rectangle.p:
            return nothing
        found = self.rectangle.make_params([torch.empty(3, height, width, dtype=torch.uint8)])
        if found["v"] is None:
            return nothing
        top, left = found["i"], found["j"]
        return [top, top + found["h"], left, left + found["w"], *self.colour]

    def forward(self, image: Tensor) -> Tensor:
        """uint8 (3, H, W) -> the same."""
        erased: Tensor = self.rectangle(image)
        return erased

    def batch(self, images: Tensor, draws: Tensor) -> Tensor:
        """See `Batchable`."""
        return _painted(images, draws)


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


def _reflected(offsets: Tensor, length: int) -> Tensor:
    """Int64 (B,) -> (B, length), the positions that `_moved` shows."""
    positions = (torch.arange(length, device=offsets.device) + offsets[:, None]).abs()
    return torch.where(positions < length, positions, 2 * (length - 1) - positions)


def _painted(images: Tensor, draws: Tensor) -> Tensor:
    """uint8 (B, H, W, 3) with a rectangle of one colour each, int64 (B, 7) as Cutout draws them."""
    top, bottom, left, right = draws[:, :4, None, None, None].unbind(1)
    rows = torch.arange(images.shape[1], device=images.device)[:, None, None]
    columns = torch.arange(images.shape[2], device=images.device)[:, None]
    inside = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
    return torch.where(inside, draws[:, None, None, 4:].to(torch.uint8), images)
