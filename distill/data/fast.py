"""The training decoder's quickest way: JPEGs at the smallest scale that covers the input, resized by PyTorch."""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, JpegImagePlugin

from ...runtime.images import ImageSource, decoded, opened, orientation, to_rgb, upright
from ...runtime.preprocess import Preprocessing, load, resize
from .reduced import ON_ITS_SIDE


def load_fast(source: ImageSource, preprocessing: Preprocessing) -> np.ndarray:
    """`load` for training on large data sets; benchmarks/input_path.py measures how fast it is.

    A JPEG whose sides are at least twice the target's is decoded at 1/2, 1/4 or 1/8 scale. What is decoded covers the
    target and no more, so that fine detail is smoothed by JPEG's transform rather than by the resize: pixels differ by
    about as much as bicubic interpolation does from bilinear (benchmarks/decoding.py measures it). What shrinks is
    resized by PyTorch, which differs from Pillow by one level in few pixels, and may do so between processors.

    Returns:
        uint8 (H, W, 3) RGB.

    Raises:
        DataError: as `load`.
    """
    if isinstance(source, np.ndarray | Image.Image):
        return load(source, preprocessing)
    with opened(source) as image:
        if not isinstance(image, JpegImagePlugin.JpegImageFile):
            return _resized(decoded(image), preprocessing)
        way_up = orientation(image)
        height, width = reversed(preprocessing.size) if way_up in ON_ITS_SIDE else preprocessing.size
        drafted = image.draft(None, (width, height))
        small = to_rgb(image)
        if drafted is not None:  # the original's edge may end within the last reduced pixel, which is left out
            whole = (int(drafted[1][2]), int(drafted[1][3]))
            small = small if small.size == whole else small.crop((0, 0, *whole))
        return _resized(upright(small, way_up), preprocessing)


def _resized(image: Image.Image, preprocessing: Preprocessing) -> np.ndarray:
    """As `runtime.preprocess.resize`; what shrinks is cropped to whole pixels before."""
    pixels, (height, width) = np.asarray(image), preprocessing.size
    if preprocessing.resize == "center_crop":
        rows, columns = pixels.shape[:2]
        tall, wide = min(rows, round(columns * height / width)), min(columns, round(rows * width / height))
        top, left = (rows - tall) // 2, (columns - wide) // 2
        pixels = pixels[top : top + tall, left : left + wide]
    if pixels.shape[0] <= height or pixels.shape[1] <= width:
        return resize(image, preprocessing)
    channels_first = torch.from_numpy(pixels.copy())[None].permute(0, 3, 1, 2)
    mode = preprocessing.interpolation
    resized = F.interpolate(channels_first, size=(height, width), mode=mode, antialias=True)
    return resized[0].permute(1, 2, 0).contiguous().numpy()
