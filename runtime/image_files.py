"""Image files below a folder, found without reading them."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


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
    a problem; so does one without any image.
    """
    from .images import image_suffixes  # numpy and Pillow

    suffixes = image_suffixes()
    unreadable: list[OSError] = []
    empty = True
    for below, folders, names in os.walk(folder, onerror=unreadable.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in suffixes:  # noqa: PTH122 (a Path per file is slow)
                empty = False
                yield check_file(Path(below, name))
    for error in unreadable:
        yield ImageFile(Path(error.filename), f"{error.filename}: cannot be opened ({error.strerror}).")
    if empty and not unreadable:
        yield ImageFile(Path(folder), f"{folder}: the folder holds no image ({', '.join(suffixes)}).")


def check_file(path: Path) -> ImageFile:
    """One file. Only regular ones are read: a pipe or a socket among the images would be waited for without end."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return ImageFile(path, f"{path}: no such image.")
    except (OSError, ValueError) as error:  # ValueError: a null byte
        return ImageFile(path, f"{path}: cannot be opened ({getattr(error, 'strerror', None) or error}).")
    return ImageFile(path) if stat.S_ISREG(mode) else ImageFile(path, f"{path}: is not a regular file.")
