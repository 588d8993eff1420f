"""Opacity masks of handwritten digits and of the clutter around them, in integer arithmetic: equal on every machine."""

from functools import cache
from typing import Literal

import numpy as np

from ....runtime.errors import MissingDependencyError

Split = Literal["train", "test"]
Glyphs = tuple[np.ndarray, ...]

# scikit-learn lists the digits writer after writer: cutting here also gives the test split other hands.
_TRAIN_GLYPHS = 1200
_CELLS = 8  # a glyph is 8x8
_ONE = 1 << 10  # fixed-point one of the interpolation weights
_INK = 16 * _ONE * _ONE  # full ink in an upscaled glyph
_EDGE = {"solid": _INK * 7 // 16, "outline": _INK * 5 // 16}  # ink level of a digit's contour: an outline needs room
_SUPERSAMPLE = 3

CLUTTER = ("disc", "triangle", "plus", "cross", "chevron", "diamond")


@cache
def glyphs(split: Split) -> Glyphs:
    """The handwritten digits of one split: for each of 0..9 an int64 (n, 8, 8) array of ink 0..16.

    Source: scikit-learn's bundled 1,797 digits (UCI Optical Recognition of Handwritten Digits, CC BY 4.0).

    Raises:
        MissingDependencyError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise MissingDependencyError(
            "digit_scenes draws scikit-learn's handwritten digits, which is not installed: "
            "pip install 'edgedistill[train]'."
        ) from None
    bunch = load_digits()
    part = slice(None, _TRAIN_GLYPHS) if split == "train" else slice(_TRAIN_GLYPHS, None)
    images, targets = bunch.images[part].astype(np.int64), bunch.target[part]
    return tuple(images[targets == digit] for digit in range(10))


def digit_mask(glyph: np.ndarray, side: int, style: str) -> np.ndarray:
    """Draw a glyph.

    Args:
        glyph: int64 (8, 8), ink 0..16.
        side: height and width of the mask in pixels.
        style: "solid" or "outline".

    Returns:
        int64 (side, side), opacity 0..255, antialiased.
    """
    weights = _upscale_weights(side)
    ink = weights @ glyph @ weights.T
    body = _contour(ink, side, style)
    if style == "solid":
        return body
    return body - _contour(_erode(ink, max(1, side // 28)), side, style)


@cache
def clutter_mask(kind: str, side: int) -> np.ndarray:
    """Draw a distractor of `CLUTTER`, none of which is a digit: int64 (side, side), opacity 0..255, antialiased."""
    fine = side * _SUPERSAMPLE
    doubled = np.arange(fine, dtype=np.int64) * 2 - (fine - 1)
    x, y = doubled[None, :], doubled[:, None]
    reach, stroke = fine - 1, fine // 4
    inside = {
        "disc": x * x + y * y <= reach * reach,
        "triangle": 2 * np.abs(x) <= y + reach,
        "plus": np.minimum(np.abs(x), np.abs(y)) <= stroke,
        "cross": np.minimum(np.abs(x - y), np.abs(x + y)) <= stroke,
        "chevron": np.abs(np.abs(x) - y - reach // 2) <= stroke,
        "diamond": np.abs(x) + np.abs(y) <= reach,
    }[kind]
    samples = inside.reshape(side, _SUPERSAMPLE, side, _SUPERSAMPLE).sum(axis=(1, 3))
    return samples * 255 // _SUPERSAMPLE**2


@cache
def _upscale_weights(side: int) -> np.ndarray:
    """Fixed-point linear interpolation of 8 samples at `side` pixel centres, rows summing to `_ONE`: (side, 8)."""
    # The margin of half a cell on both sides lets strokes at the glyph's border close round.
    position = ((2 * np.arange(side, dtype=np.int64) + 1) * (_CELLS + 1) * _ONE) // (2 * side) - _ONE
    below, fraction = np.divmod(position, _ONE)
    padded = np.zeros((side, _CELLS + 2), dtype=np.int64)
    rows = np.arange(side)
    padded[rows, below + 1] = _ONE - fraction
    padded[rows, below + 2] = fraction
    return padded[:, 1:-1]


def _contour(ink: np.ndarray, side: int, style: str) -> np.ndarray:
    """Opacity of the region above the style's contour level, with an edge about one pixel wide."""
    slope = max(1, _INK * 3 // (2 * side))
    return np.clip((ink - _EDGE[style]) * 255 // slope + 128, 0, 255)


def _erode(ink: np.ndarray, radius: int) -> np.ndarray:
    """Minimum over a square neighbourhood; outside the mask there is no ink."""
    for axis in (0, 1):
        widths = [(radius, radius) if a == axis else (0, 0) for a in (0, 1)]
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(ink, widths), 2 * radius + 1, axis=axis)
        ink = windows.min(axis=-1)
    return ink
