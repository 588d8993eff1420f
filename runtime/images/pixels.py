"""Pixels of every kind to 8-bit RGB: Pillow images by mode, arrays by dtype and shape."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from .sources import is_channels_first

BACKGROUND = 255  # what shows through transparent pixels: white

_OPAQUE = frozenset({"1", "L", "RGBX", "CMYK", "YCbCr", "HSV"})
_ALPHA = frozenset({"LA", "La", "RGBA", "RGBa"})
_SIXTEEN_BIT_FILES = frozenset({"PNG", "PPM"})  # whose mode "I" holds 0 to 65535, in some versions of Pillow
_GREY_KEY_SCALE = {"L;2": 85, "L;4": 17}  # a PNG's transparent grey is in the file's own levels
_PHOTOMETRIC, _WHITE_IS_ZERO, _BITS, _SAMPLE_FORMAT, _SIGNED = 262, 0, 258, 339, 2  # TIFF
_CHANNELS = {1: "L", 3: "RGB", 4: "RGBA"}


class RefusedPixelsError(ValueError):
    """Pixels without a defined meaning as 8-bit RGB; the message says which."""


def to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB: 16 bits lose the lower 8, floats are scaled from [0, 1], transparency is composited on white.

    The first frame of an animation counts, colour profiles don't; docs/images.md has the rules by mode. An image that
    is RGB and opaque is returned as it is.

    Args:
        image: loaded or not.

    Raises:
        RefusedPixelsError: the mode, or the values in it, have no defined meaning.
        Exception: whatever Pillow raises about damaged data.
    """
    tiles = getattr(image, "tile", None)
    tile = tiles[0] if tiles else None
    raw = _raw_mode(tile)
    image.load()
    key, mode, tags = image.info.get("transparency"), image.mode, getattr(image, "tag_v2", {})
    if _SIGNED in tags.get(_SAMPLE_FORMAT, ()) or (mode == "I" and image.format not in _SIXTEEN_BIT_FILES):
        raise RefusedPixelsError("32-bit or signed integers have no defined white: convert the image to 16 or 8 bits")
    if mode == "RGB":
        rgb = image if key is None else _without_colour(image, key, raw)
    elif mode in _ALPHA:
        rgb = _composited(image)
    elif mode in ("P", "PA"):
        rgb = _without_palette(image, key)
    elif mode in _OPAQUE:
        rgb = image.convert("RGB") if key is None else _without_level(image, key, _GREY_KEY_SCALE.get(raw, 1))
    elif mode.startswith("I") or mode == "F":
        rgb = _from_deep(image, key, tags)
    else:
        raise RefusedPixelsError(f"pixels of mode {mode} are not read: convert the image to RGB")
    if image.format == "GIF" and tile is not None:
        return _on_canvas(rgb, tile[1])
    return rgb


def from_array(array: np.ndarray) -> Image.Image:
    """8-bit RGB of an array: uint8, uint16 (its upper 8 bits) or floats in [0, 1].

    Args:
        array: (H, W) or (H, W, 1) grey, (H, W, 3) RGB, (H, W, 4) RGBA with alpha not multiplied in.

    Raises:
        RefusedPixelsError: another dtype or shape, an empty side, floats outside of [0, 1].
    """
    shape, channels = array.shape, array.shape[2] if array.ndim == 3 else 1
    known = array.dtype.kind == "f" or (array.dtype.kind == "u" and array.dtype.itemsize <= 2)
    if array.ndim not in (2, 3) or channels not in _CHANNELS or not known or 0 in shape:
        raise RefusedPixelsError(
            "an array image must be uint8, uint16 or floats in [0, 1] of shape (H, W), (H, W, 1), (H, W, 3) in RGB "
            f"order or (H, W, 4) in RGBA order, not {array.dtype} {shape}"
            + (": its channels come first: give `array.transpose(1, 2, 0)`" if is_channels_first(shape) else "")
        )
    levels = array if array.dtype == np.uint8 else _levels(array)
    if channels == 1:
        levels = levels.reshape(shape[:2])
    return to_rgb(Image.fromarray(np.ascontiguousarray(levels)))


def _levels(values: np.ndarray, shift: int = 8) -> np.ndarray:
    """uint8 of integers with 8 + `shift` bits, or of floats in [0, 1]."""
    if values.dtype.kind != "f":
        return (values >> shift).astype(np.uint8)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):  # neither is so for NaN
        raise RefusedPixelsError(f"floating-point pixels must be within [0, 1], not from {low:g} to {high:g}")
    return np.floor(values.astype(np.float64) * 255 + 0.5).astype(np.uint8)


def _raw_mode(tile: Any) -> str:
    """How the file stores its pixels, in Pillow's words; empty when unknown."""
    arguments = tile[3] if tile is not None else ""
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _composited(image: Image.Image) -> Image.Image:
    straight = image.convert("LA") if image.mode == "La" else image
    straight = straight if straight.mode == "RGBA" else straight.convert("RGBA")
    canvas = Image.new("RGB", image.size, (BACKGROUND,) * 3)
    canvas.paste(straight, mask=straight)
    return canvas


def _without_colour(image: Image.Image, key: Any, raw: str) -> Image.Image:
    """RGB in which one colour is transparent."""
    if raw.startswith("RGB;16"):
        raise RefusedPixelsError(
            "a transparent colour (tRNS) among 16-bit colours is not read: give it an alpha channel"
        )
    colour = np.asarray(key)
    if colour.shape != (3,):
        raise RefusedPixelsError(f"a transparent colour {key!r} among RGB pixels is not understood")
    pixels = np.asarray(image)
    transparent = (pixels == colour).all(axis=2, keepdims=True)
    return Image.fromarray(np.where(transparent, np.uint8(BACKGROUND), pixels))


def _without_level(image: Image.Image, key: Any, scale: int) -> Image.Image:
    """Grey or bilevel in which one level is transparent."""
    if not isinstance(key, int) or image.mode not in ("1", "L"):
        raise RefusedPixelsError(f"a transparent colour {key!r} among {image.mode} pixels is not understood")
    levels = np.asarray(image.convert("L"))
    return Image.fromarray(np.where(levels == key * scale, np.uint8(BACKGROUND), levels)).convert("RGB")


def _without_palette(image: Image.Image, key: Any) -> Image.Image:
    """Indices to colours; an index beyond the palette is black."""
    colours = np.zeros((256, 4), np.uint8)
    colours[:, 3] = 255
    given = np.array(image.getpalette("RGBA") or [], np.uint8).reshape(-1, 4)
    colours[: len(given)] = given
    if image.mode == "PA":
        pixels = np.asarray(image)
        rgba = colours[pixels[..., 0]]
        rgba[..., 3] = pixels[..., 1]
        return _composited(Image.fromarray(rgba))
    if isinstance(key, bytes):
        colours[: len(key), 3] = np.frombuffer(key[:256], np.uint8)
    elif isinstance(key, int):
        colours[key : key + 1, 3] = 0
    elif key is not None:
        raise RefusedPixelsError(f"a transparent colour {key!r} among palette indices is not understood")
    table = np.asarray(_composited(Image.fromarray(colours[None])))[0]
    return Image.fromarray(table[np.asarray(image)])


def _from_deep(image: Image.Image, key: Any, tags: Mapping[int, Any]) -> Image.Image:
    """Grey of more than 8 bits; `tags` are a TIFF's."""
    if image.mode == "F" and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        raise RefusedPixelsError("floating-point pixels whose white is 0 are not read: invert the image")
    values = np.asarray(image)
    bits = tags.get(_BITS, (16,))[0] if image.mode != "F" else 16
    levels = _levels(values, bits - 8)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        levels = 255 - levels
    if key is not None:
        levels = np.where(values == key, np.uint8(BACKGROUND), levels)
    return Image.fromarray(levels).convert("RGB")


def _on_canvas(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """A GIF's first frame may cover a part of the canvas; the rest is transparent."""
    if box == (0, 0, *image.size):
        return image
    canvas = Image.new("RGB", image.size, (BACKGROUND,) * 3)
    canvas.paste(image.crop(box), box)
    return canvas
