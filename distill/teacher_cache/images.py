"""The views of a split in storage order, loaded like training batches."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from ...runtime.errors import DataError
from ..data.loading_processes import loading
from ..data.views import Views
from .layout import Chunk, StorageOrder

StoredBatch = tuple[Tensor, Tensor, Tensor]
"""Pixels uint8 (B, H, W, 3), storage rows int64 (B,), which of them could be decoded bool (B,)."""


class StoredImages(TorchDataset[tuple[Tensor, int, bool]]):
    """Images by (view, storage row); black where one cannot be decoded."""

    def __init__(self, views: Views, order: StorageOrder) -> None:
        self.views, self.order = views, order

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, int, bool]:
        view, row = key
        try:
            return self.views.image(int(self.order.indices[row]), view), row, True
        except DataError:
            return torch.zeros(*self.views.decoded.preprocessing.size, 3, dtype=torch.uint8), row, False


def stored_batches(
    views: Views, order: StorageOrder, chunks: Iterable[Chunk], batch_size: int, *, workers: int, pin_memory: bool
) -> Iterator[StoredBatch]:
    """The chunks' images, in order.

    A batch never spans two chunks, so that a chunk's outputs are the same whenever and by whomever it is built.
    """
    loader = DataLoader(
        StoredImages(views, order),
        batch_sampler=_keys(chunks, batch_size),
        pin_memory=pin_memory,
        **loading(workers),
    )
    return iter(loader)


def _keys(chunks: Iterable[Chunk], batch_size: int) -> Iterator[list[tuple[int, int]]]:
    for chunk in chunks:
        for first in range(chunk.start, chunk.stop, batch_size):
            yield [(chunk.view, row) for row in range(first, min(first + batch_size, chunk.stop))]
