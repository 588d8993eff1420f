"""From an image file to the tensor the graph takes: one function for training's evaluation, export and the device."""

import io
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import DataError

ImageSource: TypeAlias = "str | Path | bytes | np.ndarray | Image.Image"

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


class Preprocessing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
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


def open_image(source: ImageSource) -> Image.Image:
    """Decode to an upright 8-bit RGB image.

    Args:
        source: a path, the encoded bytes, a Pillow image, or a uint8 array (H, W, 3) in RGB order.

    Raises:
        DataError: names the file and why it cannot be decoded.
    """
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3:
            raise DataError(f"an array image must be uint8 (H, W, 3) in RGB order, not {source.dtype} {source.shape}.")
        return Image.fromarray(source)
    try:
        if isinstance(source, Image.Image):
            image = source
        else:
            image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
        return ImageOps.exif_transpose(image).convert("RGB")
    except FileNotFoundError:
        raise DataError(f"{source}: no such image.") from None
    except Exception as error:  # damaged files make Pillow's plugins raise RuntimeError, struct.error and more
        name = "the image" if isinstance(source, bytes | Image.Image) else str(source)
        reason = "not an image that Pillow knows" if isinstance(error, UnidentifiedImageError) else str(error)
        raise DataError(f"{name}: cannot be decoded ({reason}). Replace or remove the file.") from error


def resize(image: Image.Image, preprocessing: Preprocessing) -> np.ndarray:
    """Resize a decoded image to uint8 (H, W, 3) RGB, the graph's default input without its batch axis."""
    height, width = preprocessing.size
    resample = _FILTERS[preprocessing.interpolation]
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
