"""What image files hold, by a digest of every byte, which is remembered so that a file is read for it once."""

import contextlib
import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from ...runtime.errors import EdgedistillError
from ...runtime.files import write_atomic
from ...runtime.preprocess import ImageSource

_MISSING = ""
_BLOCK = 64
_THREADS = 16  # because a network's disk answers slowly

_Known = dict[str, tuple[str, str]]  # path -> size and times, digest


def content_digests(images: Sequence[ImageSource], memory: Path, *, remember: bool = True) -> list[str]:
    """A digest of each image file's bytes, "" where there is no file.

    A file whose size and times (of its last change, and of the system's last record of one) are as they were is not
    read again. Copies on other machines have equal digests.

    Args:
        images: paths; what exists in memory alone counts as no file, nor does any of a sequence that makes its images
            when they are asked for, as a torch data set's: none is made.
        memory: a JSON file of what earlier calls found, which may be missing or deleted.
        remember: whether what was found is added to it, where it can be written.
    """
    if not isinstance(images, list | tuple):
        return [_MISSING] * len(images)
    known, found = _recall(memory), {}

    def digest(image: ImageSource) -> str:
        if not isinstance(image, str | os.PathLike):
            return _MISSING
        try:
            status = os.stat(image)  # noqa: PTH116 (half the time of Path.stat, for every image at every start)
            state, path = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}", os.path.abspath(image)  # noqa: PTH100
            if known.get(path, ("", ""))[0] != state:
                found[path] = (state, _digest_of(image))
                return found[path][1]
            return known[path][1]
        except OSError:
            return _MISSING

    blocks = [images[start : start + _BLOCK] for start in range(0, len(images), _BLOCK)]
    with ThreadPoolExecutor(_THREADS) as pool:
        digests = [one for block in pool.map(lambda block: [digest(image) for image in block], blocks) for one in block]
    if found and remember:
        with contextlib.suppress(EdgedistillError):  # then they are read again
            write_atomic(memory, msgspec.json.encode(known | found))
    return digests


def _recall(memory: Path) -> _Known:
    try:
        return msgspec.json.decode(memory.read_bytes(), type=_Known)
    except (OSError, msgspec.DecodeError):
        return {}


def _digest_of(path: str | os.PathLike[str]) -> str:
    with open(path, "rb") as stream:  # noqa: PTH123 (a Path per image is slow)
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
