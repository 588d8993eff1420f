"""From an image file to the tensor the graph takes: one function for training's evaluation, export and the device."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from .errors import DataError
from .record import Record

ImageSource: TypeAlias = "str | Path | bytes | np.ndarray | Image.Image"

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
_ON_ITS_SIDE = (5, 6, 7, 8)  # EXIF orientations that swap width and height


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
    with _naming(source):
        return _upright(_opened(source))


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


def load_reduced(source: ImageSource, preprocessing: Preprocessing) -> np.ndarray:
    """`load` for training: a JPEG whose sides are at least 4 times the target's is decoded at 1/2, 1/4 or 1/8 scale.

    What is decoded keeps at least twice the target's sides, as in Pillow's `Image.thumbnail(reducing_gap=2.0)`, so that
    the resize still averages; the pixels differ slightly (benchmarks/decoding.py measures it). All else is `load`.

    Returns:
        uint8 (H, W, 3) RGB.
    """
    if not isinstance(source, str | Path | bytes):
        return load(source, preprocessing)
    with _naming(source):
        image = _opened(source)
        stored = image.size
        turned = image.getexif().get(ExifTags.Base.Orientation) in _ON_ITS_SIDE
        height, width = reversed(preprocessing.size) if turned else preprocessing.size
        drafted = image.draft(None, (2 * width, 2 * height))
        if drafted is None or image.size == stored:
            return resize(_upright(image), preprocessing)
        # The original's edge may end within the last reduced pixel, so the resize takes a fractional box; and before
        # the image is turned, since after it that pixel may be the first.
        box = (0.0, 0.0, *drafted[1][2:])
        if preprocessing.resize == "center_crop":
            box = _centre(box[2], box[3], width / height)
        small = image.convert("RGB").resize((width, height), _FILTERS[preprocessing.interpolation], box=box)
        return np.asarray(_upright(small))


def normalize(images: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """uint8 (N, H, W, 3) -> float32 (N, 3, H, W), for graphs whose input is float32_nchw."""
    scale = 1.0 / (255.0 * np.asarray(preprocessing.std, np.float32))
    shift = np.asarray(preprocessing.mean, np.float32) / np.asarray(preprocessing.std, np.float32)
    normalized = images.astype(np.float32) * scale.astype(np.float32) - shift
    return np.ascontiguousarray(normalized.transpose(0, 3, 1, 2))


def _opened(source: "str | Path | bytes | Image.Image") -> Image.Image:
    if isinstance(source, Image.Image):
        return source
    return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)


def _upright(image: Image.Image) -> Image.Image:
    return ImageOps.exif_transpose(image).convert("RGB")


def _centre(width: float, height: float, ratio: float) -> tuple[float, float, float, float]:
    """The largest box of `ratio` (width / height) in the middle, as `ImageOps.fit` takes it."""
    kept_width, kept_height = min(width, height * ratio), min(height, width / ratio)
    left, top = (width - kept_width) / 2, (height - kept_height) / 2
    return left, top, left + kept_width, top + kept_height


@contextlib.contextmanager
def _naming(source: ImageSource) -> Iterator[None]:
    """Whatever Pillow raises becomes a DataError that names the image."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{source}: no such image.") from None
    except Exception as error:  # damaged files make Pillow's plugins raise RuntimeError, struct.error and more
        name = "the image" if isinstance(source, bytes | Image.Image) else str(source)
        reason = "not an image that Pillow knows" if isinstance(error, UnidentifiedImageError) else str(error)
        raise DataError(f"{name}: cannot be decoded ({reason}). Replace or remove the file.") from error
