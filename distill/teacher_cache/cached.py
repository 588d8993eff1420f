"""A teacher that remembers: its stored outputs, read by sample and view."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...runtime.datasets import Dataset
from ...runtime.errors import DataError
from ..models.output import ModelOutput
from .fields import FIELDS
from .store import Store


class CachedTeacher:
    """Stands in for the network in a step.

    Args:
        store: complete.
        dataset: the split that the batches index.
        undecodable: chunk number -> storage rows without outputs.
        device: where the outputs go.
    """

    def __init__(
        self, store: Store, dataset: Dataset, undecodable: dict[int, tuple[int, ...]], device: torch.device
    ) -> None:
        self.store, self.layout, self.device = store, store.layout, device
        self._order, self._ids, self._classes = store.layout.order, dataset.ids, len(dataset.classes)
        self._positives = np.diff(self._order.offsets)
        self._fields = {name: store.open(name) for name in store.layout.shapes}
        chunks = self.layout.chunks
        self._blank = {(chunks[number].view, row) for number, rows in undecodable.items() for row in rows}

    @property
    def undecodable(self) -> list[int]:
        """Positions in the data set of the images that could not be decoded, in order."""
        return sorted({int(self._order.indices[row]) for _, row in self._blank})

    def __call__(self, indices: Tensor, view: int, blank: Tensor) -> ModelOutput:
        """What the teacher said about these samples in this view.

        Args:
            indices: int64 (B,) on the CPU, positions in the data set.
            view: of all of them.
            blank: bool (B,), where a black image stands for one that cannot be decoded.

        Returns:
            See `read`.

        Raises:
            DataError: an image was not decodable when the cache was built and is now.
        """
        if self._blank:  # few, if any
            for place, row in enumerate(self._order.rows[indices.numpy()].tolist()):
                if (view, row) in self._blank and not blank[place]:
                    raise DataError(
                        f"{self._ids[int(indices[place])]}: could not be decoded when the teacher cache was built and "
                        "can be now. Start the same command again, which adds it."
                    )
        return self.read(indices, view)

    def read(self, indices: Tensor, view: int) -> ModelOutput:
        """The stored outputs.

        Args:
            indices: int64 (B,) on the CPU, positions in the data set.
            view: of all of them.

        Returns:
            Float32 tensors on the device; `embeddings` (B, C, D) are 0 where the label is not 1.
        """
        rows = self._order.rows[indices.numpy()]
        fields: dict[str, Any] = {
            name: self._dense(name, rows, view) if FIELDS[name].per == "image" else self._spread(name, rows, view)
            for name in self._fields
        }
        return ModelOutput(**fields)

    def _dense(self, name: str, rows: np.ndarray, view: int) -> Tensor:
        return self._send(self._fields[name][view].take(rows, axis=0)).float()

    def _spread(self, name: str, rows: np.ndarray, view: int) -> Tensor:
        """Rows of positives -> (B, C, ...), without a loop over images."""
        first, counts = self._order.offsets[rows], self._positives[rows]
        before = counts.cumsum() - counts
        stored = np.arange(counts.sum()) + np.repeat(first - before, counts)
        places = np.repeat(np.arange(len(rows)), counts) * self._classes + self._order.classes[stored]
        values = self._send(self._fields[name][view].take(stored, axis=0)).float()
        spread = torch.zeros(len(rows) * self._classes, *values.shape[1:], device=self.device)
        spread[self._send(places)] = values
        return spread.unflatten(0, (len(rows), self._classes))

    def _send(self, array: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(array)
        if self.device.type == "cuda":
            tensor = tensor.pin_memory()  # so that the step does not wait for the transfer
        return tensor.to(self.device, non_blocking=True)
