"""The training decoder's shortcut: large JPEGs decoded at a fraction of their size."""

import numpy as np
from PIL import Image, JpegImagePlugin

from ...runtime.images import ImageSource, decoded, opened, orientation, to_rgb, upright
from ...runtime.preprocess import FILTERS, Preprocessing, load, resize

ON_ITS_SIDE = (5, 6, 7, 8)  # EXIF orientations that swap width and height


def load_reduced(source: ImageSource, preprocessing: Preprocessing) -> np.ndarray:
    """`load` for training: a JPEG whose sides are at least 4 times the target's is decoded at 1/2, 1/4 or 1/8 scale.

    What is decoded keeps at least twice the target's sides, as in Pillow's `Image.thumbnail(reducing_gap=2.0)`, so that
    the resize still averages; the pixels differ slightly (benchmarks/decoding.py measures it). All else is `load`.

    Returns:
        uint8 (H, W, 3) RGB.

    Raises:
        DataError: as `load`.
    """
    if isinstance(source, np.ndarray | Image.Image):
        return load(source, preprocessing)
    with opened(source) as image:
        if not isinstance(image, JpegImagePlugin.JpegImageFile):
            return resize(decoded(image), preprocessing)
        stored, way_up = image.size, orientation(image)
        height, width = reversed(preprocessing.size) if way_up in ON_ITS_SIDE else preprocessing.size
        drafted = image.draft(None, (2 * width, 2 * height))
        if drafted is None or image.size == stored:
            return resize(decoded(image), preprocessing)
        # The original's edge may end within the last reduced pixel, so the resize takes a fractional box; and before
        # the image is turned, since after it that pixel may be the first.
        box = (0.0, 0.0, *drafted[1][2:])
        if preprocessing.resize == "center_crop":
            box = _centre(box[2], box[3], width / height)
        small = to_rgb(image).resize((width, height), FILTERS[preprocessing.interpolation], box=box)
        return np.asarray(upright(small, way_up))


def _centre(width: float, height: float, ratio: float) -> tuple[float, float, float, float]:
    """The largest box of `ratio` (width / height) in the middle, as `ImageOps.fit` takes it."""
    kept_width, kept_height = min(width, height * ratio), min(height, width / ratio)
    left, top = (width - kept_width) / 2, (height - kept_height) / 2
    return left, top, left + kept_width, top + kept_height
