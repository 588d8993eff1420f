"""Files that people hand in: only regular files are opened, and text is Unicode with or without a byte order mark."""

import codecs
import os
import stat
from pathlib import Path

from .errors import DataError, EdgedistillError

# UTF-32's mark begins with that of UTF-16, so it comes first.
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def read_bytes(path: Path, error: type[EdgedistillError] = DataError) -> bytes:
    """The content of a regular file.

    Args:
        path: the file, or a link to it. A folder, a named pipe or a device is refused: reading one may never end.
        error: what to raise.

    Raises:
        EdgedistillError: of the type `error`, naming the file and why it cannot be read.
    """
    try:
        with open(path, "rb", opener=_open_regular) as stream:
            return stream.read()
    except FileNotFoundError:
        raise error(f"{path}: no such file.") from None
    except (OSError, ValueError) as failure:  # ValueError: a NUL or half a surrogate pair in the name
        raise error(f"{path}: cannot be read ({getattr(failure, 'strerror', None) or failure}).") from None


def read_text(path: Path, error: type[EdgedistillError] = DataError) -> str:
    r"""The content of a text file: UTF-8, or UTF-16 or UTF-32 with its byte order mark; every line ends in \n.

    Raises:
        EdgedistillError: of the type `error`, naming the file and why it cannot be read.
    """
    raw = read_bytes(path, error)
    encoding = byte_order_mark(raw) or "utf-8"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as failure:
        name = encoding.removesuffix("-sig").upper()
        raise error(f"{path}: is not {name} text (byte {failure.start}). Save it as UTF-8.") from None
    if "\0" in text:
        raise error(f"{path}: is not text: it holds NUL characters (character {text.index(chr(0))}). Save it as UTF-8.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def byte_order_mark(raw: bytes) -> str | None:
    """The Python codec that the byte order mark of `raw` stands for, or None without one."""
    return next((encoding for mark, encoding in _MARKS.items() if raw.startswith(mark)), None)


def _open_regular(path: str, _: int) -> int:
    descriptor = os.open(path, _FLAGS)  # non-blocking: a named pipe would wait for somebody to write into it
    kind = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(kind):
        os.close(descriptor)
        raise OSError(None, "a folder, not a file" if stat.S_ISDIR(kind) else "not a regular file")
    return descriptor
