"""What decides a cache's content, and the folder name that follows from it."""

import hashlib
from pathlib import Path
from typing import Any, Literal, cast

import msgspec
import numpy as np
import torch
from torch import nn

from ...runtime.datasets import Dataset
from ...runtime.record import Record
from .image_files import content_digests
from .layout import StorageOrder

FORMAT = 1
CHUNK = 1024
IMAGE_DIGESTS = "image_digests.json"  # beside the folder of all teacher caches

DtypeName = Literal["float32", "bfloat16", "float16"]


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
        root: Path,
        transform: dict[str, Any],
        fields: tuple[str, ...],
        dtype: torch.dtype | None,
        remember: bool = True,
        chunk: int = CHUNK,
    ) -> "CacheSpec":
        """The spec of a network's outputs on a split, kept below `root`; `dtype` None is float32.

        `remember` is that of `content_digests`, whose memory lies beside `root`.
        """
        order, memory = StorageOrder.of(dataset).indices, root.parent / IMAGE_DIGESTS
        return cls(
            teacher_sha256=teacher_digest(model),
            dtype=cast("DtypeName", "float32" if dtype is None else str(dtype).removeprefix("torch.")),
            dataset_sha256=dataset_digest(dataset, order, memory, remember=remember),
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


def dataset_digest(dataset: Dataset, order: np.ndarray, memory: Path, *, remember: bool) -> str:
    """SHA-256 over classes, ids, labels, pixels in memory and the bytes of image files, in storage order.

    `memory` and `remember` are those of `content_digests`.
    """
    stored = dataset.subset(order)
    digest = hashlib.sha256(stored.fingerprint().encode())
    for content in content_digests(stored.images, memory, remember=remember):
        digest.update(f"{content}\n".encode())
    return digest.hexdigest()
