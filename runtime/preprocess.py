"""From an image file to the tensor the graph takes: one function for training's evaluation, export and the device."""

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
from PIL import Image, ImageOps

from .errors import ConfigError
from .images import ImageSource, decode_scaled, open_image, upright
from .record import Record

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "LOADERS",
    "Decode",
    "ImageSource",
    "Preprocessing",
    "load",
    "load_reduced",
    "loader",
    "normalize",
    "open_image",
    "resize",
]

Decode: TypeAlias = Literal["full", "reduced"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


class Preprocessing(Record):
    """How an image becomes the graph's input.

    Attributes:
        size: (height, width) in pixels.
        resize: "squash" scales both sides (the papers' Resize((H, W))); "center_crop" scales the shorter side to
            cover `size` and crops the centre.
        interpolation: Pillow's antialiased filter.
        mean: per RGB channel, in [0, 1] units; applied inside the graph unless its input is float32_nchw.
        std: per RGB channel, in [0, 1] units.
    """

    size: tuple[int, int]
    resize: Literal["squash", "center_crop"] = "squash"
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


def resize(image: Image.Image, preprocessing: Preprocessing) -> np.ndarray:
    """Resize a decoded image to uint8 (H, W, 3) RGB, the graph's default input without its batch axis."""
    height, width = preprocessing.size
    resample = FILTERS[preprocessing.interpolation]
    if image.size == (width, height):
        return np.asarray(image)
    if preprocessing.resize == "center_crop":
        return np.asarray(ImageOps.fit(image, (width, height), method=resample))
    return np.asarray(image.resize((width, height), resample))


def load(source: ImageSource, preprocessing: Preprocessing) -> np.ndarray:
    """Decode and resize: uint8 (H, W, 3) RGB. An array that is that already is returned itself."""
    if isinstance(source, np.ndarray) and source.dtype == np.uint8 and source.shape == (*preprocessing.size, 3):
        return source
    return resize(open_image(source), preprocessing)


def load_reduced(source: ImageSource, preprocessing: Preprocessing) -> np.ndarray:
    """`load`, but a JPEG whose sides are at least 4 times the target's is decoded at 1/2, 1/4 or 1/8 scale.

    What is decoded keeps at least twice the target's sides, as in Pillow's `Image.thumbnail(reducing_gap=2.0)`, so that
    the resize still averages: docs/images.md says how far the pixels are from those of `load`. All else is as there.

    Returns:
        uint8 (H, W, 3) RGB.

    Raises:
        DataError: as `load`.
    """
    if isinstance(source, np.ndarray | Image.Image):
        return load(source, preprocessing)
    found = decode_scaled(source, preprocessing.size, gap=2)
    if found.scale == 1:
        return resize(found.upright(), preprocessing)
    # The original's edge may end within the last reduced pixel, so the resize takes a fractional box; and before the
    # image is turned, since after it that pixel may be the first.
    height, width = found.as_stored(preprocessing.size)
    box = (0.0, 0.0, found.size[1], found.size[0])
    if preprocessing.resize == "center_crop":
        box = _centre(found.size, width / height)
    small = found.image.resize((width, height), FILTERS[preprocessing.interpolation], box=box)
    return np.asarray(upright(small, found.orientation))


LOADERS: dict[str, Callable[[ImageSource, Preprocessing], np.ndarray]] = {"full": load, "reduced": load_reduced}


def loader(decode: Decode) -> Callable[[ImageSource, Preprocessing], np.ndarray]:
    """`load`, or what else decodes and resizes in its place; raises ConfigError for an unknown word."""
    if decode not in LOADERS:
        raise ConfigError(f"decode {decode!r}: one of {', '.join(LOADERS)}.")
    return LOADERS[decode]


def _centre(size: tuple[float, float], ratio: float) -> tuple[float, float, float, float]:
    """The largest box of `ratio` (width / height) in the middle of `size` (height, width), as `ImageOps.fit` has it."""
    height, width = size
    kept_width, kept_height = min(width, height * ratio), min(height, width / ratio)
    left, top = (width - kept_width) / 2, (height - kept_height) / 2
    return left, top, left + kept_width, top + kept_height


def normalize(images: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """uint8 (N, H, W, 3) -> float32 (N, 3, H, W), for graphs whose input is float32_nchw."""
    scale = 1.0 / (255.0 * np.asarray(preprocessing.std, np.float32))
    shift = np.asarray(preprocessing.mean, np.float32) / np.asarray(preprocessing.std, np.float32)
    normalized = images.astype(np.float32) * scale.astype(np.float32) - shift
    return np.ascontiguousarray(normalized.transpose(0, 3, 1, 2))
