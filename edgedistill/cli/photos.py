"""What the command line means by images: files, folders, and lists on standard input."""

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgedistill.runtime.errors import ConfigError
from edgedistill.runtime.image_files import ImageFile, check_file, images_below

_READ_BYTES = 1 << 16


def find_photos(given: Sequence[str]) -> Iterator[ImageFile]:
    """The images that arguments mean, one after the other, so that a long list is not waited for.

    A folder stands for the images in it and below. `-` stands for the paths on standard input, one per line.
    """
    for text in given:
        if not text:  # Path("") is the current folder
            raise ConfigError("an empty image path: give an image, a folder, or - (an unset variable is empty).")
        yield from _listed() if text == "-" else _found(Path(text))


def count_photos(given: Sequence[str]) -> int | None:
    """How many there are, for a time left; None where standard input is a pipe, which can be read only once."""
    if "-" in given:
        try:
            if not stat.S_ISREG(os.fstat(0).st_mode):
                return None
            start = os.lseek(0, 0, os.SEEK_CUR)
            count = sum(1 for _ in find_photos(given))
            os.lseek(0, start, os.SEEK_SET)
        except OSError:
            return None
        return count
    return sum(1 for _ in find_photos(given))


def _listed() -> Iterator[ImageFile]:
    empty = True
    for line in _lines():
        name = line.rstrip(b"\r")
        if name.strip():
            empty = False
            yield from _found(Path(os.fsdecode(name)))
    if empty:  # as of a folder without images: whatever was to write the list did not
        yield ImageFile(Path("-"), "standard input: lists no image.")


def _lines() -> Iterator[bytes]:
    """Of standard input as they come, past Python's buffer, whose lock a thread that waits here would never give up."""
    stream = getattr(sys.stdin, "buffer", None)
    stream, pending = getattr(stream, "raw", stream), b""
    while stream is not None and (part := stream.read(_READ_BYTES)):
        *lines, pending = (pending + part).split(b"\n")
        yield from lines
    if pending:
        yield pending


def _found(path: Path) -> Iterator[ImageFile]:
    if os.path.isdir(path):  # noqa: PTH112 (Path.is_dir raises on a name too long)
        yield from images_below(path)
    else:
        yield check_file(path)
