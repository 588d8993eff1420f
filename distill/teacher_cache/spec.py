"""What decides a cache's content, and the folder name that follows from it."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, cast

import msgspec
import numpy as np
import torch
from torch import nn

from ...runtime.datasets import Dataset
from ...runtime.preprocess import ImageSource
from ...runtime.record import Record

FORMAT = 1
CHUNK = 1024

DtypeName = Literal["float32", "bfloat16", "float16"]

_MISSING = -1
_BLOCK = 512


class CacheSpec(Record):
    """Everything that decides the stored values; equal specs share one folder.

    The number of views is no part of it: a cache with more views serves those who ask for fewer, and grows.

    Attributes:
        teacher_sha256: of the network, see `teacher_digest`.
        dtype: of the teacher's autocast.
        dataset_sha256: see `dataset_digest`.
        transform: what decides a view's pixels besides the image file.
        fields: what is stored.
        chunk: images of one view that are written, checked and rebuilt together.
        format: version of the files' layout.
    """

    teacher_sha256: str
    dtype: DtypeName
    dataset_sha256: str
    transform: dict[str, Any]
    fields: tuple[str, ...]
    chunk: int = CHUNK
    format: int = FORMAT

    @classmethod
    def of(
        cls,
        model: nn.Module,
        dataset: Dataset,
        *,
        order: np.ndarray,
        transform: dict[str, Any],
        fields: tuple[str, ...],
        dtype: torch.dtype | None,
        chunk: int = CHUNK,
    ) -> "CacheSpec":
        """The spec of a network's outputs on a split, whose storage order is `order`; `dtype` None is float32."""
        return cls(
            teacher_sha256=teacher_digest(model),
            dtype=cast("DtypeName", "float32" if dtype is None else str(dtype).removeprefix("torch.")),
            dataset_sha256=dataset_digest(dataset, order),
            transform=transform,
            fields=fields,
            chunk=chunk,
        )

    def digest(self) -> str:
        """The folder's name: 16 hex digits."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:16]


def teacher_digest(model: nn.Module) -> str:
    """SHA-256 over the network's modules as they print themselves, its parameters and its buffers.

    A pooling has no weights and the normalisation is in no checkpoint's tensors, yet both decide the outputs.
    """
    digest = hashlib.sha256(str(model).encode())
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def dataset_digest(dataset: Dataset, order: np.ndarray) -> str:
    """SHA-256 over classes, ids, labels, pixels in memory and the sizes of image files, in bytes, in storage order."""
    stored = dataset.subset(order)
    digest = hashlib.sha256(stored.fingerprint().encode())
    digest.update(np.array(_file_sizes(stored.images), "<i8"))
    return digest.hexdigest()


def _file_sizes(images: Sequence[ImageSource]) -> list[int]:
    """Bytes of every image file, -1 where there is none; in threads, because a network's disk answers slowly."""
    blocks = [images[start : start + _BLOCK] for start in range(0, len(images), _BLOCK)]
    with ThreadPoolExecutor(16) as pool:
        return [
            size for sizes in pool.map(lambda block: [_file_size(image) for image in block], blocks) for size in sizes
        ]


def _file_size(image: ImageSource) -> int:
    if not isinstance(image, str | os.PathLike):
        return _MISSING
    try:
        return os.stat(image).st_size  # noqa: PTH116 (half the time of Path.stat, for every image at every start)
    except OSError:
        return _MISSING
