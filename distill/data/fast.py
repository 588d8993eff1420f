"""The training decoder's quickest way: JPEGs at the smallest scale that covers the input, resized by PyTorch."""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from ...runtime.images import ImageSource, decode_scaled, upright
from ...runtime.preprocess import Preprocessing, load, resize

_UPRIGHT = 1


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
    found = decode_scaled(source, preprocessing.size, gap=1)
    rows, columns = map(int, found.size)  # the original's edge may end within the last reduced pixel: left out
    pixels = np.asarray(found.stored)[:rows, :columns]
    if found.orientation != _UPRIGHT:
        pixels = np.asarray(upright(Image.fromarray(pixels), found.orientation))
    return _resized(pixels if pixels.flags.writeable else pixels.copy(), preprocessing)


def _resized(pixels: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """As `runtime.preprocess.resize`; what shrinks is cropped to whole pixels before."""
    height, width = preprocessing.size
    image = pixels
    if preprocessing.resize == "center_crop":
        rows, columns = pixels.shape[:2]
        tall, wide = min(rows, round(columns * height / width)), min(columns, round(rows * width / height))
        top, left = (rows - tall) // 2, (columns - wide) // 2
        image = pixels[top : top + tall, left : left + wide]
    if image.shape[0] <= height or image.shape[1] <= width:
        return resize(Image.fromarray(pixels), preprocessing)
    channels_first = torch.from_numpy(image)[None].permute(0, 3, 1, 2)
    mode = preprocessing.interpolation
    resized = F.interpolate(channels_first, size=(height, width), mode=mode, antialias=True)
    return resized[0].permute(1, 2, 0).contiguous().numpy()
