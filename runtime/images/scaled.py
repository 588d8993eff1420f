"""JPEG files decoded at 1/2, 1/4 or 1/8 of their size, where that still covers what is wanted: one way for all.

JPEG's own transform gives these sizes at a fraction of the work. Training and devices share this.
"""

from dataclasses import dataclass
from functools import cache
from types import ModuleType

import numpy as np
from PIL import Image

from .decoding import MAX_PIXELS, decoded, opened
from .orientation import orientation, upright
from .pixels import to_rgb
from .plain_jpeg import PlainJpeg, plain_jpeg
from .sources import Encoded, encoded_bytes, source_name

_ON_ITS_SIDE = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_SCALES = (8, 4, 2)
_JPEG = ("JPEG", "MPO")


@dataclass(frozen=True)
class Scaled:
    """A decoded image.

    Attributes:
        stored: its pixels as they are stored, not yet turned: RGB, or uint8 (h, w, 3).
        orientation: EXIF's, 1 to 8, which is to be applied yet.
        scale: 1, 2, 4 or 8: how many of the file's pixels one of `stored` stands for, along each side.
        size: (height, width) of the file's pixels in units of those in `stored`; its last pixel may be a fraction.
    """

    stored: Image.Image | np.ndarray
    orientation: int
    scale: int
    size: tuple[float, float]

    @property
    def image(self) -> Image.Image:
        """`stored` as a Pillow image."""
        return Image.fromarray(self.stored) if isinstance(self.stored, np.ndarray) else self.stored

    def upright(self) -> Image.Image:
        """The whole image, turned."""
        return upright(self.image, self.orientation)

    def as_stored(self, size: tuple[int, int]) -> tuple[int, int]:
        """A size (height, width) of the upright image in the directions of `stored`."""
        return _as_stored(size, self.orientation)


def decode_scaled(source: Encoded, size: tuple[int, int], *, gap: int) -> Scaled:
    """Decode an image, a JPEG at the smallest scale that leaves at least `gap` times the sides of `size`.

    Plain JPEG files are decoded by simplejpeg where it is installed, which takes two thirds of Pillow's time. It is the
    same libjpeg-turbo and gives the same pixels. All else, and what it finds anything wrong with, is decoded by Pillow,
    which decides what is refused.

    Args:
        source: the encoded image.
        size: (height, width) that the upright image is to be resized to.
        gap: how many decoded pixels there must be for each of `size`, along each side.

    Raises:
        DataError: as `open_image`.
    """
    data, name = encoded_bytes(source), source_name(source)
    if (library := _simplejpeg()) and (plain := plain_jpeg(data)) is not None and _is_allowed(plain):
        wanted = _as_stored(size, plain.orientation)
        scale = _scale(plain.height, plain.width, wanted, gap)
        pixels = _by_simplejpeg(library, data, plain, scale)
        if pixels is not None:
            return Scaled(pixels, plain.orientation, scale, (plain.height / scale, plain.width / scale))
    with opened(data, name) as image:
        if image.format not in _JPEG:
            whole = decoded(image)
            return Scaled(whole, 1, 1, (whole.height, whole.width))
        way_up, (width, height) = orientation(image), image.size
        wanted = _as_stored(size, way_up)
        drafted = image.draft(None, (gap * wanted[1], gap * wanted[0]))
        scale = 1 if drafted is None else _scale(height, width, wanted, gap)
        return Scaled(to_rgb(image), way_up, scale, (height / scale, width / scale))


def scaled_decoder() -> str:
    """What decodes plain JPEG files here, e.g. "simplejpeg 1.9.0"; empty where Pillow decodes all."""
    library = _simplejpeg()
    return "" if library is None else f"simplejpeg {library.__version__}"


@cache
def _simplejpeg() -> ModuleType | None:
    """The library, where it is installed."""
    try:
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg


def _by_simplejpeg(library: ModuleType, data: bytes, plain: PlainJpeg, scale: int) -> np.ndarray | None:
    """uint8 (h, w, 3); None where libjpeg finds anything wrong, or makes something else of it.

    Its quicker and coarser transform and enlargement of colour are not used: at these scales they gain nothing.
    """
    height, width = -(-plain.height // scale), -(-plain.width // scale)
    try:
        pixels: np.ndarray = library.decode_jpeg(data, "RGB", min_height=height, min_width=width)
    except (ValueError, RuntimeError):
        return None
    return pixels if pixels.shape == (height, width, 3) else None


def _is_allowed(plain: PlainJpeg) -> bool:
    """Of an image that is too large it is Pillow's to say so."""
    return plain.height * plain.width <= min(MAX_PIXELS, Image.MAX_IMAGE_PIXELS or MAX_PIXELS)


def _scale(height: int, width: int, wanted: tuple[int, int], gap: int) -> int:
    """As Pillow's `draft` chooses it."""
    room = min(height // (gap * wanted[0]), width // (gap * wanted[1]))
    return next((scale for scale in _SCALES if scale <= room), 1)


def _as_stored(size: tuple[int, int], way_up: int) -> tuple[int, int]:
    height, width = size
    return (width, height) if way_up in _ON_ITS_SIDE else (height, width)
