"""What may be given for images: one, many, a folder of them, or whatever yields them."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeAlias, cast

import numpy as np

from ..errors import DataError
from ..image_files import ImageFile, images_below
from ..images import ImageSource, is_source, not_an_image

Images: TypeAlias = "ImageSource | Iterable[ImageSource]"


def is_one(images: Images) -> bool:
    """Whether it is one image rather than several; a folder is several."""
    if isinstance(images, np.ndarray):
        return images.ndim != 4
    return is_source(images) and not (isinstance(images, str | os.PathLike) and os.path.isdir(images))  # noqa: PTH112


def as_source(file: ImageFile) -> ImageSource:
    """What opens a file; what is known against it is told when it is read, so that it costs none of the others."""
    return cast("BinaryIO", _Unreadable(file)) if file.problem else file.path


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
    for file in images_below(folder):
        if file.problem and file.path == Path(folder):
            raise DataError(file.problem)
        yield as_source(file)


class _Unreadable:
    """A file of which something is known against it, as a source: reading it says what."""

    def __init__(self, file: ImageFile) -> None:
        self.name, self._problem = str(file.path), file.problem

    def read(self, size: int = -1) -> bytes:
        raise DataError(self._problem)
