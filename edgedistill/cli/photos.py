"""What the command line means by images: files, folders, and lists on standard input."""

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from edgedistill.runtime.errors import ConfigError


class Photo(NamedTuple):
    """An image to read.

    Attributes:
        path: as it was given, or below the folder that was given.
        problem: why it cannot be read, as a sentence that names it; empty when nothing is known against it.
    """

    path: Path
    problem: str = ""


def find_photos(given: Sequence[str]) -> Iterator[Photo]:
    """The images that arguments mean, one after the other, so that a long list is not waited for.

    A folder stands for the images in it and below, by their names' suffixes; links to folders are not followed, so
    that none is walked in circles. `-` stands for the paths on standard input, one per line. Only regular files are
    read: a pipe or a socket among the images would be waited for without end.
    """
    for text in given:
        if not text:  # Path("") is the current folder
            raise ConfigError("an empty image path: give an image, a folder, or - (an unset variable is empty).")
        yield from _listed() if text == "-" else _found(Path(text))


def _listed() -> Iterator[Photo]:
    for line in getattr(sys.stdin, "buffer", ()):
        name = line.rstrip(b"\r\n")
        if name.strip():
            yield from _found(Path(os.fsdecode(name)))


def _found(path: Path) -> Iterator[Photo]:
    if not os.path.isdir(path):  # noqa: PTH112 (Path.is_dir raises on a name too long)
        yield check_photo(path)
        return
    from edgedistill.runtime.images import image_suffixes

    suffixes = image_suffixes()
    unreadable: list[OSError] = []
    empty = True
    for folder, folders, names in os.walk(path, onerror=unreadable.append):
        folders.sort()
        for name in sorted(names):
            if os.path.splitext(name)[1].lower() in suffixes:  # noqa: PTH122 (a Path per file is slow)
                empty = False
                yield check_photo(Path(folder, name))
    for error in unreadable:
        yield Photo(Path(error.filename), f"{error.filename}: cannot be opened ({error.strerror}).")
    if empty and not unreadable:
        yield Photo(path, f"{path}: the folder holds no image ({', '.join(suffixes)}).")


def check_photo(path: Path) -> Photo:
    """One file, without reading it."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return Photo(path, f"{path}: no such image.")
    except (OSError, ValueError) as error:  # ValueError: a null byte
        return Photo(path, f"{path}: cannot be opened ({getattr(error, 'strerror', None) or error}).")
    return Photo(path) if stat.S_ISREG(mode) else Photo(path, f"{path}: is not a regular file.")
