"""A folder of images without labels."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..image_files import is_unread_heif, tell_of_heif
from ..images import image_suffixes
from .base import FORMATS, UNKNOWN, Dataset, DatasetFormat
from .reading import class_list, is_folder, resolve


@FORMATS.register("folder")
class FolderFormat(DatasetFormat):
    """All images in a folder and below it, by their names' suffixes; every label is unknown.

    Hidden files and folders are left out, and links to folders are not followed.

    Attributes:
        path: the folder.
        classes: the class names, or the path of a text file with one per line; a recipe's `data.unlabelled` takes those
            of its training data.
    """

    path: str
    classes: list[str] | str | None = None

    def read(self, base: Path) -> Dataset:
        """List the images, in the order of their names.

        Raises:
            DataError: there is no such folder, it holds no image, or the classes are not told.
        """
        folder, classes = resolve(base, self.path), class_list(self.classes, base)
        if classes is None:
            raise DataError(f"{folder}: a folder of images says nothing about classes: set `classes`.")
        names = image_names(folder)
        labels = np.full((len(names), len(classes)), UNKNOWN, np.int8)
        return Dataset(folder.name, classes, names, [folder / name for name in names], labels)


def image_names(folder: Path) -> tuple[str, ...]:
    """The images in a folder and below: their paths from it, with forward slashes, in order.

    Raises:
        DataError: there is no such folder, it holds no image, or a folder in it cannot be opened.
    """
    if not is_folder(folder):
        raise DataError(f"{folder}: no such folder.")
    suffixes = frozenset(image_suffixes())
    found = tuple(_files(folder))
    tell_of_heif(str(folder), sum(is_unread_heif(name, suffixes) for name in found))
    names = tuple(name for name in found if os.path.splitext(name)[1].lower() in suffixes)  # noqa: PTH122 (a Path per file is slow)
    if not names:
        raise DataError(f"{folder}: the folder holds no image ({', '.join(image_suffixes())}).")
    return names


def _files(folder: Path) -> Iterator[str]:
    """Paths of all files that are not hidden, relative to `folder`, with forward slashes."""

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be opened ({error.strerror}).") from None

    for below, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        relative = os.path.relpath(below, folder).replace(os.sep, "/")
        for name in sorted(names):
            if not name.startswith("."):
                yield name if relative == "." else f"{relative}/{name}"
