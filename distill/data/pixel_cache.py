"""Decoded images in bytes that loading processes share: in memory, or in a file that outlives the run."""

import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...runtime.errors import EdgedistillError, first_line
from .free_memory import free_shared_memory

_ABSENT = 0
_CHECK_BYTES = 4
_CHUNK = 1 << 20
_WAY_OUT = "or set `decoded_cache: off`."


class SharedBytes:
    """Zeroed memory that survives fork, and pickling to a process that is being spawned; nothing is left behind.

    Raises:
        EdgedistillError: there is not that much shared memory.
    """

    def __init__(self, size: int) -> None:
        try:
            for free in free_shared_memory():  # asked first: PyTorch's attempt would leave its name in there
                if free < size:
                    raise MemoryError(f"{free / 2**20:.1f} MiB of /dev/shm are free")  # noqa: TRY301
            # numpy's zeros, unlike torch's, take no memory until they are written: they are copied from once.
            self._tensor = torch.from_numpy(np.zeros(size, np.uint8)).share_memory_()
        except (RuntimeError, MemoryError) as error:
            raise EdgedistillError(
                f"cannot share {size / 2**20:.1f} MiB of decoded images between processes: {first_line(error)}. "
                f"Enlarge the shared memory (Docker: --shm-size), set `decoded_cache: disk` {_WAY_OUT}"
            ) from error

    @property
    def array(self) -> np.ndarray:
        """uint8 (size,), writable."""
        return self._tensor.numpy()


class FileBytes:
    """A file mapped into memory, created when absent; its disk space is claimed here, so that a full disk shows here.

    Raises:
        EdgedistillError: the disk is full or the folder cannot be written.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._path, self._size = path, size
        try:
            _claim(path, size)
            self.array = np.asarray(np.memmap(path, np.uint8, "r+", shape=(size,)))
        except OSError as error:
            raise EdgedistillError(
                f"cannot keep {size / 2**20:.1f} MiB of decoded images in {path}: {error.strerror or error}. "
                f"Free space, {_WAY_OUT}"
            ) from error

    def __reduce__(self) -> tuple[Any, ...]:
        # A memory map would be pickled with its contents.
        return FileBytes, (self._path, self._size)


class PixelCache:
    """Up to N images of one shape. What one process writes, all that share the bytes can read.

    An image counts only when it fits the CRC-32 stored beside it, so that a writer killed half-way, a page that never
    reached the disk and a decayed bit are all the same as an image that is not there. Processes that write the same
    image write the same bytes.

    Args:
        memory: `nbytes(count, shape)` bytes, zeroed or as an earlier cache of the same images left them.
        count: N.
        shape: (H, W, 3).
    """

    def __init__(self, memory: SharedBytes | FileBytes, count: int, shape: tuple[int, int, int]) -> None:
        self._memory, self._count, self._shape = memory, count, shape

    @property
    def bytes(self) -> int:
        """The size of this cache."""
        return self.nbytes(self._count, self._shape)

    @staticmethod
    def nbytes(count: int, shape: tuple[int, int, int]) -> int:
        """The size of a cache in bytes."""
        return count * (_CHECK_BYTES + int(np.prod(shape)))

    def read(self, index: int) -> np.ndarray | None:
        """uint8 (H, W, 3), a copy; None where there is no valid image."""
        checks, images = self._views()
        if checks[index] == _ABSENT:
            return None
        pixels = images[index].copy()  # checked after the copy: another process may be writing
        return pixels if _check(pixels) == checks[index] else None

    def write(self, index: int, pixels: np.ndarray) -> None:
        """Keep uint8 (H, W, 3)."""
        checks, images = self._views()
        images[index] = pixels
        checks[index] = _check(pixels)

    def _views(self) -> tuple[np.ndarray, np.ndarray]:
        split = self._count * _CHECK_BYTES
        array = self._memory.array
        return array[:split].view("<u4"), array[split:].reshape(self._count, *self._shape)


def _check(pixels: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(pixels).data) or 1


def _claim(path: Path, size: int) -> None:
    """Make `path` a file of `size` bytes that the disk has room for; what it holds stays, the rest is zero."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        present = stream.seek(0, os.SEEK_END)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(stream.fileno(), 0, size)
            else:
                for start in range(present, size, _CHUNK):
                    stream.write(bytes(min(_CHUNK, size - start)))
                stream.flush()
        except OSError:
            if not present:
                path.unlink(missing_ok=True)
            raise
