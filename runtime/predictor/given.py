"""What may be given for images: one, many, a folder of them, or whatever yields them."""

import os
from collections.abc import Iterable, Iterator
from typing import TypeAlias, cast

import numpy as np

from ..errors import DataError
from ..image_files import images_below
from ..images import ImageSource, is_source, not_an_image, source_name

Images: TypeAlias = "ImageSource | Iterable[ImageSource]"


def is_one(images: Images) -> bool:
    """Whether it is one image rather than several; a folder is several."""
    if isinstance(images, np.ndarray):
        return images.ndim != 4
    return is_source(images) and not (isinstance(images, str | os.PathLike) and os.path.isdir(images))  # noqa: PTH112


def each_image(images: Images) -> Iterator[ImageSource]:
    """One after the other.

    Args:
        images: one image as `runtime.images.open_image` takes it; a folder, for the images in it and below; an array
            (N, H, W, C) of images; a list, a generator or whatever else can be iterated.

    Raises:
        DataError: none of these; a folder without images, or that cannot be listed.
    """
    if is_one(images):
        yield images  # type: ignore[misc]
    elif isinstance(images, str | os.PathLike):
        yield from _of_folder(images)
    elif hasattr(images, "shape") and not isinstance(images, np.ndarray):  # a tensor: its rows are no images
        raise not_an_image(images, "the image")
    elif isinstance(images, Iterable):
        yield from cast("Iterable[ImageSource]", images)  # bytes can be iterated too, but are one image
    else:
        raise not_an_image(images, "the image")


def _of_folder(folder: str | os.PathLike[str]) -> Iterator[ImageSource]:
    found = 0
    for file in images_below(folder):
        if file.problem:
            raise DataError(file.problem)
        found += 1
        yield file.path
    if not found:
        raise DataError(f"{source_name(folder)}: the folder holds no image.")
