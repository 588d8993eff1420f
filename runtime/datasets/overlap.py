"""Whether two data sets share images: what was trained on or calibrated with must not judge."""

import contextlib
import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path

import numpy as np

from ..files import sha256_of
from ..images import source_name
from .base import Dataset

TOLERATED = 0.01  # of a data set's images: published ones hold some photographs twice
_TAIL = 4096  # bytes; the beginnings of many photographs are the same tables


def shared_images(part: Dataset, other: Dataset) -> np.ndarray:
    """Indices int64 of the images of `part` that `other` holds too: the same file by whatever path, or a copy of it."""
    own, others = identities(part, other)
    known = set(others)
    return np.array([row for row, same in enumerate(own) if same in known], dtype=np.int64)


def identities(*datasets: Dataset) -> list[list[Hashable]]:
    """A key for each image of each data set, equal where the images are.

    Files are the same when their bytes are; a file is read only where another has its size, and wholly only where both
    end alike. What exists in memory is the same when its bytes are.
    """
    sources = [image for dataset in datasets for image in dataset.images]
    names = [name for dataset in datasets for name in dataset.ids]
    keys = [_first_look(image, name) for image, name in zip(sources, names, strict=True)]
    paths = {key: Path(image) for key, image in zip(keys, sources, strict=True) if isinstance(image, str | os.PathLike)}
    found = _alike([key for key in paths if isinstance(key, _File)], paths)
    same = iter([found.get(key, key) for key in keys])
    return [[next(same) for _ in dataset.ids] for dataset in datasets]


class _File(tuple[int, int, int]):
    """Size, device and inode: one file by whatever path."""

    __slots__ = ()


def _first_look(image: object, name: str) -> Hashable:
    """Tells images apart without opening a file."""
    if isinstance(image, np.ndarray):
        return str(image.shape), hashlib.sha256(np.ascontiguousarray(image).data).digest()
    if isinstance(image, bytes | bytearray | memoryview):
        return hashlib.sha256(image).digest()
    if not isinstance(image, str | os.PathLike):
        return name
    try:
        found = os.stat(image)  # noqa: PTH116 (a Path per image is slow)
    except (OSError, ValueError):  # it is missing, which decoding will tell
        return source_name(image)
    return _File((found.st_size, found.st_dev, found.st_ino))


def _alike(files: Sequence[_File], paths: dict[Hashable, Path]) -> dict[Hashable, Hashable]:
    """For each file that is a copy of others, a key that it has in common with them; an empty file is no copy."""
    groups = _groups((file for file in files if file[0]), lambda file: file[0])
    groups = [copies for group in groups for copies in _groups(group, lambda file: _tail(paths[file]))]
    groups = [copies for group in groups for copies in _groups(group, lambda file: sha256_of(paths[file]))]
    return {file: ("copies of", group[0]) for group in groups for file in group}


def _groups(files: Iterable[_File], by: Callable[[_File], Hashable]) -> list[list[_File]]:
    """Those that agree in `by` with at least one other; a file that cannot be read agrees with none."""
    found = defaultdict(list)
    for file in files:
        with contextlib.suppress(OSError):
            found[by(file)].append(file)
    return [group for group in found.values() if len(group) > 1]


def _tail(path: Path) -> bytes:
    with path.open("rb") as stream:
        stream.seek(max(0, stream.seek(0, os.SEEK_END) - _TAIL))
        return stream.read()
