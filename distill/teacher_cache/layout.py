"""Where the outputs of which sample and view stand in a cache's files."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from rich.filesize import decimal

from ...runtime.datasets import Dataset
from ...runtime.datasets.base import POSITIVE
from .fields import FIELDS

DTYPE = np.dtype("<f2")


@dataclass(frozen=True)
class StorageOrder:
    """A split's samples sorted by id, so that the order in which a data set lists them does not matter.

    Attributes:
        indices: int64 (N,), position in the data set by storage row.
        rows: int64 (N,), storage row by position in the data set.
        offsets: int64 (N + 1,), by storage row: its first among all positives; the last entry is their number P.
        classes: int64 (P,), class of every positive.
    """

    indices: np.ndarray
    rows: np.ndarray
    offsets: np.ndarray
    classes: np.ndarray

    @classmethod
    def of(cls, dataset: Dataset) -> "StorageOrder":
        """The storage order of a split."""
        indices = np.array(sorted(range(len(dataset)), key=dataset.ids.__getitem__), np.int64)
        rows = np.empty_like(indices)
        rows[indices] = np.arange(len(indices))
        positive = dataset.labels[indices] == POSITIVE
        offsets = np.concatenate([[0], positive.sum(axis=1, dtype=np.int64).cumsum()])
        return cls(indices, rows, offsets, np.nonzero(positive)[1])

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True)
class Chunk:
    """Consecutive images of one view, by storage row: `start` to `stop` - 1."""

    view: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Layout:
    """A cache's files: one per field, view after view, storage row after storage row, fp16 without a header.

    Attributes:
        order: of the samples.
        views: V.
        shapes: of one row of each field, e.g. (C,) for logits, (D,) for embeddings.
        chunk_size: images in a chunk; a view's last may have fewer.
    """

    order: StorageOrder
    views: int
    shapes: dict[str, tuple[int, ...]]
    chunk_size: int

    @property
    def images(self) -> int:
        """Outputs in all: N V."""
        return len(self.order) * self.views

    @cached_property
    def chunks(self) -> list[Chunk]:
        """By number. A view's come after those of the view before, so that more views renumber nothing."""
        starts = range(0, len(self.order), self.chunk_size)
        return [
            Chunk(view, start, min(start + self.chunk_size, len(self.order)))
            for view in range(self.views)
            for start in starts
        ]

    @property
    def numbers(self) -> range:
        """Of all chunks."""
        return range(len(self.chunks))

    def rows_of_view(self, field: str) -> int:
        """N, or for positives P."""
        return len(self.order) if FIELDS[field].per == "image" else int(self.order.offsets[-1])

    def rows(self, field: str, chunk: Chunk) -> slice:
        """A chunk's rows in the field's file."""
        first = chunk.view * self.rows_of_view(field)
        if FIELDS[field].per == "image":
            return slice(first + chunk.start, first + chunk.stop)
        offsets = self.order.offsets
        return slice(first + int(offsets[chunk.start]), first + int(offsets[chunk.stop]))

    def row_bytes(self, field: str) -> int:
        """Bytes of one row."""
        return DTYPE.itemsize * int(np.prod(self.shapes[field], dtype=np.int64))

    def field_bytes(self, field: str) -> int:
        """Bytes of the field's file."""
        return self.views * self.rows_of_view(field) * self.row_bytes(field)

    @property
    def bytes(self) -> int:
        """Bytes of all files but the journals, which are small."""
        return sum(map(self.field_bytes, self.shapes))

    def __str__(self) -> str:
        """E.g. "82,081 images x 4 views, logits (80) in fp16: 52.5 MB"."""
        words = []
        for field, shape in self.shapes.items():
            of = "" if FIELDS[field].per == "image" else f" of {self.rows_of_view(field):,} labels"
            words.append(f"{field.replace('_', ' ')}{of} ({' x '.join(map(str, shape))})")
        views = f"{self.views} view{'s' if self.views > 1 else ''}"
        return f"{len(self.order):,} images x {views}, {' and '.join(words)} in fp16: {decimal(self.bytes)}"
