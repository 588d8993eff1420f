"""What an image may come as, what it is called in messages, and its encoded bytes."""

import os
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np
from PIL import Image

from ..errors import DataError, printable

if TYPE_CHECKING:
    from typing_extensions import TypeIs  # checkers know it by themselves; `typing` has it from Python 3.13

Encoded: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
ImageSource: TypeAlias = Encoded | np.ndarray | Image.Image

MAX_BYTES = 1 << 30  # of an encoded image; the largest that MAX_PIXELS allows, uncompressed, have about as many

_CHUNK = 1 << 20
_UNNAMED = "the image"
_OTHER_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def is_source(value: object) -> "TypeIs[ImageSource]":
    """Whether `value` is one image, whose content may yet be refused, rather than a sequence of them or none."""
    known = isinstance(value, str | os.PathLike | bytes | bytearray | memoryview | np.ndarray | Image.Image)
    return known or hasattr(value, "read")


def source_name(source: object, otherwise: str = _UNNAMED) -> str:
    """What messages call an image: its path, an open file's name, or `otherwise`; always in one printable line."""
    named = source if isinstance(source, str | os.PathLike) else getattr(source, "name", None)
    if isinstance(source, np.ndarray | Image.Image) or not isinstance(named, str | os.PathLike):
        return otherwise
    name = os.fsdecode(named)
    return printable(name) or repr(name)


def not_an_image(value: object, name: str) -> DataError:
    """The error for a value of a type that no image has; a tensor is told how it becomes one."""
    shape = getattr(value, "shape", None)
    if shape is None:
        return DataError(
            f"{name}: an object of type {type(value).__name__} is not an image: give a path, encoded bytes, an open "
            "binary file, an array or a Pillow image."
        )
    shape = tuple(shape)
    way = ".permute(1, 2, 0).cpu().numpy()" if is_channels_first(shape) else ".cpu().numpy()"
    return DataError(
        f"{name}: a {type(value).__name__} {shape} is not an image: give a numpy array, uint8 (H, W, 3) in RGB order "
        f"and not normalised, e.g. by `tensor{way}`."
    )


def is_channels_first(shape: tuple[int, ...]) -> bool:
    """Whether an image of that shape has its channels before its rows."""
    return len(shape) == 3 and shape[0] in (1, 3, 4) and shape[2] not in (1, 3, 4)


def encoded_bytes(source: Encoded) -> bytes:
    """All bytes of an encoded image.

    A file object is read from where it stands to its end and stays open; a path is opened only when it is a regular
    file, so that a FIFO or a device cannot make anyone wait.

    Raises:
        DataError: names the image and why there are no bytes.
    """
    name = source_name(source)
    try:
        if isinstance(source, str | os.PathLike):
            data = _file_bytes(os.fsdecode(source), name)
        elif isinstance(source, bytes | bytearray | memoryview):
            data = bytes(source)
        elif hasattr(source, "read"):
            data = _stream_bytes(source, name)
        else:
            raise not_an_image(source, name)
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{name}: no such image.") from None
    except (OSError, ValueError) as error:  # ValueError: a closed file, a path with a zero byte
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{name}: cannot be read ({reason}). Mend or remove the file.") from None
    if not data:
        raise DataError(f"{name}: is empty: no image (a file object is read from where it stands).")
    if len(data) > MAX_BYTES:
        raise DataError(_too_large(name))
    return data


def _file_bytes(path: str, name: str) -> bytes:
    found = os.stat(path)  # noqa: PTH116 (a Path per image is slow for long lists)
    if not stat.S_ISREG(found.st_mode):
        kind = next((kind for is_kind, kind in _OTHER_KINDS if is_kind(found.st_mode)), "no regular file")
        raise DataError(f"{name}: is {kind}, not an image file. Give a file.")
    if found.st_size > MAX_BYTES:
        raise DataError(_too_large(name))
    if not found.st_size:
        return b""  # unread: what the system shows as files of no size, below /proc, may make one wait
    with open(path, "rb") as stream:  # noqa: PTH123
        return stream.read()


def _stream_bytes(stream: Any, name: str) -> bytes:
    """What is left of a file object, which may give less than it is asked for at a time."""
    parts, total = [], 0
    while total <= MAX_BYTES:
        part = stream.read(_CHUNK)
        if not isinstance(part, bytes | bytearray | memoryview):
            raise DataError(f'{name}: reading it gave {type(part).__name__}, not bytes. Open it with mode "rb".')
        if not len(part):
            break
        parts.append(bytes(part))
        total += len(parts[-1])
    return b"".join(parts)


def _too_large(name: str) -> str:
    return f"{name}: more than the {MAX_BYTES >> 20} MiB that an image file may have. Shrink it."
