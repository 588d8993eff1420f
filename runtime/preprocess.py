"""From an image file to the tensor the graph takes: one function for training's evaluation, export and the device."""

from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from .images import ImageSource, open_image
from .record import Record

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "ImageSource", "Preprocessing", "load", "normalize", "open_image", "resize"]

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
    """Decode and resize: uint8 (H, W, 3) RGB."""
    return resize(open_image(source), preprocessing)


def normalize(images: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """uint8 (N, H, W, 3) -> float32 (N, 3, H, W), for graphs whose input is float32_nchw."""
    scale = 1.0 / (255.0 * np.asarray(preprocessing.std, np.float32))
    shift = np.asarray(preprocessing.mean, np.float32) / np.asarray(preprocessing.std, np.float32)
    normalized = images.astype(np.float32) * scale.astype(np.float32) - shift
    return np.ascontiguousarray(normalized.transpose(0, 3, 1, 2))
