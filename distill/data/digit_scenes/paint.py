"""From label sets to pixels: where each digit stands, how large, in which colour, and what is in its way."""

from typing import NamedTuple

import numpy as np

from .shapes import CLUTTER, Glyphs, clutter_mask, digit_mask
from .themes import CLASSES, MAX_LABELS, STYLES

# Lengths are drawn in units of 1/16 of a pixel of a 64-pixel scene, so that a seed gives the same scene at every size.
_UNIT = 16
_SCENE = 64 * _UNIT
_MAX_CLUTTER = 3
_SLOTS = MAX_LABELS + _MAX_CLUTTER
_CANDIDATES = 12  # places tried per object; the least overlapping one is taken
_DIGIT_SIDE = np.array([(28, 36), (27, 34), (25, 31), (23, 28), (22, 26), (21, 25)]) * _UNIT  # by number of labels
_CLUTTER_SIDE = (7 * _UNIT, 14 * _UNIT)
_P_DIFFICULT = 0.15  # half of them small, half occluded
_SMALL = (9, 16)  # a small digit's share of its side


class Backdrop(NamedTuple):
    """A background gradient from one RGB colour to another, both dark enough for every ink."""

    start: tuple[int, int, int]
    end: tuple[int, int, int]


_BACKDROPS = (
    Backdrop((16, 24, 48), (44, 62, 98)),
    Backdrop((40, 20, 52), (84, 44, 88)),
    Backdrop((14, 46, 44), (34, 84, 74)),
    Backdrop((52, 24, 24), (98, 52, 40)),
    Backdrop((22, 22, 26), (62, 64, 72)),
)
_INKS = np.array(
    [(255, 209, 102), (239, 120, 110), (6, 214, 160), (240, 240, 240), (120, 200, 255), (214, 162, 232)], dtype=np.int64
)
_GRAIN = 7  # amplitude of the background's pixel noise, in grey levels


def paint(rng: np.random.Generator, labels: np.ndarray, glyphs: Glyphs, canvas: np.ndarray) -> np.ndarray:
    """Paint one scene per row of `labels`.

    Args:
        rng: source of every choice.
        labels: bool (N, C).
        glyphs: the handwriting to draw from, as `shapes.glyphs` gives it.
        canvas: uint8 (N, side, side, 3), written in place.

    Returns:
        bool (N, C): the labels whose digit is small or occluded.
    """
    scenes, side = len(labels), canvas.shape[1]
    count = labels.sum(axis=1)
    order = np.argsort(~labels, axis=1, kind="stable")[:, :MAX_LABELS]  # the classes present come first
    is_digit = np.arange(MAX_LABELS) < count[:, None]
    is_clutter = np.arange(_MAX_CLUTTER) < rng.integers(1, _MAX_CLUTTER + 1, size=scenes)[:, None]

    hard = rng.random((scenes, MAX_LABELS))
    small = is_digit & (hard < _P_DIFFICULT / 2)
    occluded = is_digit & ~small & (hard < _P_DIFFICULT)
    low, high = _DIGIT_SIDE[count - 1].T
    sides = np.concatenate(
        [
            rng.integers(low[:, None], high[:, None] + 1, size=(scenes, MAX_LABELS)),
            rng.integers(*_CLUTTER_SIDE, size=(scenes, _MAX_CLUTTER)),
        ],
        axis=1,
    )
    sides[:, :MAX_LABELS][small] = sides[:, :MAX_LABELS][small] * _SMALL[0] // _SMALL[1]
    corners = _place(rng, sides, np.concatenate([is_digit, is_clutter], axis=1))

    backdrop = rng.integers(len(_BACKDROPS), size=scenes)
    inks = _INKS[rng.integers(len(_INKS), size=(scenes, _SLOTS))]
    kinds = rng.integers(len(CLUTTER), size=(scenes, _SLOTS))  # of the clutter, and of what occludes a digit
    picks = rng.integers(1 << 30, size=(scenes, MAX_LABELS))
    quarters = rng.integers(4, size=(scenes, MAX_LABELS))
    _paint_backdrops(rng, backdrop, canvas)

    pixel_sides = np.maximum(6, sides * side // _SCENE)
    pixel_corners = corners * side // _SCENE
    for scene in range(scenes):
        image = canvas[scene]
        for thing in np.flatnonzero(is_clutter[scene]) + MAX_LABELS:
            mask = clutter_mask(CLUTTER[kinds[scene, thing]], int(pixel_sides[scene, thing]))
            _blend(image, mask, pixel_corners[scene, thing], inks[scene, thing])
        for slot in range(int(count[scene])):
            digit, style = divmod(int(order[scene, slot]), len(STYLES))
            hands, length = glyphs[digit], int(pixel_sides[scene, slot])
            mask = digit_mask(hands[picks[scene, slot] % len(hands)], length, STYLES[style])
            _blend(image, mask, pixel_corners[scene, slot], inks[scene, slot])
            if occluded[scene, slot]:
                cover = length * 5 // 8
                shift = np.array(divmod(int(quarters[scene, slot]), 2)) * (length - cover)
                mask = clutter_mask(CLUTTER[kinds[scene, slot]], cover)
                _blend(image, mask, pixel_corners[scene, slot] + shift, inks[scene, slot - 1])
    difficult = np.zeros((scenes, len(CLASSES)), dtype=bool)
    np.put_along_axis(difficult, order, small | occluded, axis=1)
    return difficult


def _place(rng: np.random.Generator, sides: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Top-left corners (N, slots, 2) that overlap little: each object takes the best of a few random places."""
    scenes, slots = sides.shape
    corners = np.zeros((scenes, slots, 2), dtype=np.int64)
    rows = np.arange(scenes)
    for slot in range(slots):
        side = sides[:, slot, None, None]
        tries = rng.integers(_SCENE - side + 1, size=(scenes, _CANDIDATES, 2))
        cost = np.zeros((scenes, _CANDIDATES), dtype=np.int64)
        for other in range(slot):
            start = np.maximum(tries, corners[:, None, other])
            end = np.minimum(tries + side, corners[:, None, other] + sides[:, other, None, None])
            overlap = np.maximum(end - start, 0).prod(axis=2)
            cost += np.where(used[:, other, None], overlap, 0)
        corners[:, slot] = tries[rows, cost.argmin(axis=1)]
    return corners


def _paint_backdrops(rng: np.random.Generator, backdrop: np.ndarray, canvas: np.ndarray) -> None:
    """Fill each scene with its gradient, in one of four directions, and a little grain."""
    scenes, side = len(backdrop), canvas.shape[1]
    ramp = np.arange(side, dtype=np.int64)
    down, across = np.broadcast_to(ramp[:, None], (side, side)), np.broadcast_to(ramp, (side, side))
    slopes = np.stack([down, across, (down + across) // 2, (down + across[:, ::-1]) // 2])
    start, end = (np.array([b[i] for b in _BACKDROPS], dtype=np.int64)[backdrop, None, None] for i in (0, 1))
    share = slopes[rng.integers(len(slopes), size=scenes), :, :, None]
    grain = rng.integers(-_GRAIN, _GRAIN + 1, size=(scenes, side, side, 1))
    canvas[:] = np.clip(start + (end - start) * share // (side - 1) + grain, 0, 255)


def _blend(image: np.ndarray, mask: np.ndarray, corner: np.ndarray, ink: np.ndarray) -> None:
    """Lay `ink` over a square of `image` with the opacity of `mask`, in place; what falls outside is cut off."""
    top, left = int(corner[0]), int(corner[1])
    patch = image[top : top + len(mask), left : left + len(mask)]
    opacity = mask[: patch.shape[0], : patch.shape[1], None]
    patch[:] = (patch * (255 - opacity) + ink * opacity + 127) // 255
