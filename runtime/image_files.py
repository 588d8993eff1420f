"""Image files below a folder, found without reading them."""

import logging
import os
import stat
from collections.abc import Container, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from .errors import printable

_OF_PHONES = (".heic", ".heif")  # which Pillow reads only where the app has taught it to
_log = logging.getLogger("edgedistill")


class ImageFile(NamedTuple):
    """A file that should be an image.

    Attributes:
        path: as it was given, or below the folder that was given.
        problem: why it cannot be read, as a sentence that names it; empty when nothing is known against it.
    """

    path: Path
    problem: str = ""


def images_below(folder: str | os.PathLike[str]) -> Iterator[ImageFile]:
    """The images in a folder and below, by their names' suffixes, in the order of their names.

    Hidden ones are left out, as data sets leave them: macOS' `._photo.jpg` is no image, and `.thumbnails` holds copies.
    Links to folders are not followed, so that none is walked in circles. A folder that cannot be listed comes last, as
    a problem; so does one without any image. Of photographs in HEIF, which iPhones take, a warning tells where nothing
    here reads them.
    """
    from .images import image_suffixes  # numpy and Pillow

    suffixes = image_suffixes()
    unreadable: list[OSError] = []
    empty, heif = True, 0
    for below, folders, names in os.walk(folder, onerror=unreadable.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in suffixes:  # noqa: PTH122 (a Path per file is slow)
                empty = False
                yield check_file(Path(below, name))
            heif += is_unread_heif(name, suffixes)
    tell_of_heif(str(folder), heif)
    for error in unreadable:
        yield ImageFile(Path(error.filename), f"{error.filename}: cannot be opened ({error.strerror}).")
    if empty and not unreadable:
        yield ImageFile(Path(folder), f"{folder}: the folder holds no image ({', '.join(suffixes)}).")


def is_unread_heif(name: str, suffixes: Container[str]) -> bool:
    """Whether a file is a photograph in HEIF that nothing here reads.

    Args:
        name: of the file.
        suffixes: of what is read.
    """
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 (a Path per file is slow)
    return suffix in _OF_PHONES and suffix not in suffixes and not name.startswith(".")


@cache
def tell_of_heif(folder: str, count: int) -> None:
    """Warn, once, of so many photographs that are left out."""
    if count:
        _log.warning(
            "%s: %d photographs in HEIF (.heic), as iPhones take them, are left out: they are not read here. Convert "
            "them to JPEG.", printable(folder), count,
        )  # fmt: skip


def check_file(path: Path) -> ImageFile:
    """One file. Only regular ones are read: a pipe or a socket among the images would be waited for without end."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return ImageFile(path, f"{path}: no such image.")
    except (OSError, ValueError) as error:  # ValueError: a null byte
        return ImageFile(path, f"{path}: cannot be opened ({getattr(error, 'strerror', None) or error}).")
    return ImageFile(path) if stat.S_ISREG(mode) else ImageFile(path, f"{path}: is not a regular file.")
