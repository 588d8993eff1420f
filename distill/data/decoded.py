"""A data set's images, decoded and resized to the network's input, and kept for the next epoch where that pays."""

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeGuard

import msgspec
import numpy as np
import PIL
from PIL import features

from ...runtime.datasets import Dataset
from ...runtime.images import RULES, ImageSource
from ...runtime.preprocess import LOADERS, Preprocessing
from .fast import load_fast
from .free_memory import free_disk, free_memory, processes_here
from .pixel_cache import FileBytes, PixelCache, SharedBytes

Decode: TypeAlias = Literal["full", "reduced", "fast"]
DecodedCache: TypeAlias = Literal["auto", "device", "memory", "disk", "off"]

MAX_MEMORY_CACHE = 1 << 30  # bytes that "auto" takes at most

_DECODERS = {**LOADERS, "fast": load_fast}

_ENOUGH_PASSES = 3  # the first writes what the others read
_MOST_BYTES_READ = 4  # times the bytes of the files themselves: beyond that reading costs as much as decoding saves
_SAMPLE = 64

Part: TypeAlias = Literal["training", "validation"]

# The latest cache in memory of each part, with what it holds: teacher, baseline and student see the same in turn.
_held: dict[Part, tuple[str, PixelCache]] = {}


class DecodedImages:
    """Decodes and resizes one image at a time; what is kept is not decoded again.

        images = DecodedImages(dataset, preprocessing, cache="disk", folder=Path("cache"))
        images[7]  # decoded, and stored
        images[7]  # read back

    It can be pickled to loading processes, which share what is kept. An image that cannot be decoded is never kept.

    Args:
        dataset: the images.
        preprocessing: size, resize mode and filter.
        decode: "full" as in evaluation, "reduced" (see `runtime.preprocess.load_reduced`) or "fast" (see
            `fast.load_fast`).
        cache: where decoded images are kept. "memory": until another data set's are, or `release_memory`. "disk": in
            one file below `folder`, which later runs use too and which may be deleted between runs; its name follows
            from what decides the pixels, so that changed images get another. "off": nowhere. "auto": in memory when
            the images are files and all of them take at most 1 GiB and half of the free memory; else on disk where that
            pays: its file is there already, or the images are read three times at least, take a quarter of the free
            disk at most and no more than four times what their own files hold; else nowhere. "device": as "auto" on the
            host; what a training keeps on its device lies beside (see `on_device`).
        folder: of the "disk" cache's file.
        passes: how often each image will be read.
        part: of the data, since the images of one part are held in memory until the next job's.

    Attributes:
        cache: where decoded images are kept: "memory", "disk" or "off".

    Raises:
        EdgedistillError: memory or disk has no room for the cache.
    """

    def __init__(
        self,
        dataset: Dataset,
        preprocessing: Preprocessing,
        *,
        decode: Decode = "reduced",
        cache: DecodedCache = "auto",
        folder: Path | None = None,
        passes: int = 1,
        part: Part = "training",
    ) -> None:
        self.dataset, self.preprocessing, self.decode = dataset, preprocessing, decode
        self.passes, self.part = passes, part
        self.cache: Literal["memory", "disk", "off"] = self.choose(cache, folder)
        self._kept = None if self.cache == "off" else self._open(folder)

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def transform(self) -> dict[str, Any]:
        """All that decides the pixels besides the image file; plain data, to be hashed."""
        plain = msgspec.to_builtins(self.preprocessing)
        transform = {key: plain[key] for key in ("size", "resize", "interpolation")} | {"rules": RULES}
        return transform | {"decode": self.decode} if self.decode != "full" and self._are_files else transform

    @property
    def key(self) -> str:
        """Equal for equal pixels of all images."""
        return self._key

    @property
    def cache_bytes(self) -> int:
        """How much memory or disk the cache takes."""
        return 0 if self.cache == "off" else PixelCache.nbytes(len(self), self._shape)

    def choose(self, cache: DecodedCache, folder: Path | None = None) -> Literal["memory", "disk", "off"]:
        """What `cache` comes to for these images, with the memory and disk that are free now; none of it is taken."""
        if not len(self):
            return "off"
        if cache == "memory" or cache == "disk" or cache == "off":  # noqa: PLR1714 (mypy)
            return cache
        if not self._are_files:
            return "off"
        needed = PixelCache.nbytes(len(self), self._shape)
        if needed <= MAX_MEMORY_CACHE and (self._held() is not None or needed <= self._free_memory()):
            return "memory"
        return "disk" if folder is not None and self._pays_on_disk(needed, folder) else "off"

    def file(self, folder: Path) -> Path:
        """The "disk" cache's."""
        return folder / f"images-{self._key[:32]}.bin"

    def __getitem__(self, index: int) -> np.ndarray:
        """uint8 (H, W, 3) RGB, the caller's own; raises DataError where the image cannot be decoded."""
        kept = self._kept.read(index) if self._kept is not None else None
        if kept is not None:
            return kept
        image = self._decoded(self.dataset.images[index])
        if self._kept is not None:
            self._kept.write(index, image)
        return image if image.flags.writeable else image.copy()

    def _held(self) -> PixelCache | None:
        key, cache = _held.get(self.part, ("", None))
        return cache if key == self._key else None

    def _free_memory(self) -> float:
        """Bytes that the cache may take: half of what is free, beside what the other part's may still come to take."""
        others = sum(cache.bytes for part, (_, cache) in _held.items() if part != self.part)
        return (free_memory() - others) / 2 / processes_here()

    def _pays_on_disk(self, needed: int, folder: Path) -> bool:
        if self.file(folder).is_file():
            return True
        if self.passes < _ENOUGH_PASSES or needed > free_disk(folder) / 4:
            return False
        sample = self.dataset.images[:: max(1, len(self) // _SAMPLE)]
        return needed / len(self) <= _MOST_BYTES_READ * float(np.mean([_bytes(image) for image in sample]))

    def _decoded(self, source: ImageSource) -> np.ndarray:
        if isinstance(source, np.ndarray) and source.dtype == np.uint8 and source.shape == self._shape:
            return source.copy()
        return _DECODERS[self.decode](source, self.preprocessing)

    @property
    def _shape(self) -> tuple[int, int, int]:
        return (*self.preprocessing.size, 3)

    @property
    def _are_files(self) -> bool:
        return len(self) > 0 and _is_file(self.dataset.images[0])

    @cached_property
    def _key(self) -> str:
        return _content_key(self.dataset, self.transform)

    def _open(self, folder: Path | None) -> PixelCache:
        if self.cache == "memory":
            if self._held() is None:
                _held.pop(self.part, None)  # before the next takes its memory
                cache = PixelCache(SharedBytes(self.cache_bytes), len(self), self._shape)
                _held[self.part] = (self._key, cache)
            return _held[self.part][1]
        if folder is None:
            raise ValueError("the disk cache needs a folder")
        return PixelCache(FileBytes(self.file(folder), self.cache_bytes), len(self), self._shape)


def release_memory() -> None:
    """Forget the caches in memory; each is freed when the last `DecodedImages` that uses it is."""
    _held.clear()


def _is_file(image: ImageSource) -> TypeGuard[str | os.PathLike[str]]:
    return isinstance(image, str | os.PathLike)


def _bytes(image: ImageSource) -> int:
    """Of an image's file; 0 where there is none."""
    try:
        return os.stat(image).st_size if _is_file(image) else 0  # noqa: PTH116
    except OSError:
        return 0


def _content_key(dataset: Dataset, transform: dict[str, Any]) -> str:
    """SHA-256 of what decides the pixels. Labels don't: sub-tasks that share images share what is kept of them."""
    decoder = [PIL.__version__, features.version("jpg")]
    digest = hashlib.sha256(msgspec.json.encode([transform, decoder], order="sorted"))
    for name, image in zip(dataset.ids, dataset.images, strict=True):
        digest.update(f"\x1e{name}\x1f".encode())
        if _is_file(image):
            digest.update(_state(image).encode())
        else:
            pixels = np.ascontiguousarray(image)
            digest.update(f"{pixels.dtype} {pixels.shape}".encode())
            digest.update(pixels.data)
    return digest.hexdigest()


def _state(path: str | os.PathLike[str]) -> str:
    """Size and times of the last change; a missing file has none, and another key once it is there.

    A copy may take over the time of its original (`cp -p`, rsync), but not the time at which the system made it.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 (a Path per image is slow for long lists)
    except OSError:
        return "missing"
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
