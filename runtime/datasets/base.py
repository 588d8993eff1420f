"""What every dataset format is read into, and the registry of the readers."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..config import Config
from ..errors import DataError
from ..preprocess import ImageSource
from ..registry import Registry

POSITIVE, NEGATIVE, UNKNOWN = 1, 0, -1


@dataclass(frozen=True)
class Dataset:
    """Images with image-level labels. Reading one opens no image: decoding happens when an image is used.

    Attributes:
        name: for messages and reports.
        classes: C names; the order of every score and label column.
        ids: N unique names (a path relative to the image folder, or the dataset's own id).
        images: N sources, each a path or a uint8 (H, W, 3) RGB array.
        labels: int8 (N, C); 1 present, 0 absent, -1 unknown (in no loss and no metric).
        difficult: bool (N, C), the labels that the annotators marked difficult, whatever `labels` makes of them; None
            where the format knows no such mark.
    """

    name: str
    classes: tuple[str, ...]
    ids: tuple[str, ...]
    images: Sequence[ImageSource]
    labels: np.ndarray
    difficult: np.ndarray | None = None

    def __post_init__(self) -> None:
        shape = (len(self.ids), len(self.classes))
        if self.labels.shape != shape or self.labels.dtype != np.int8 or len(self.images) != shape[0]:
            raise ValueError(f"{self.name}: labels must be int8 {shape}, not {self.labels.dtype} {self.labels.shape}")
        marks = self.difficult
        if marks is not None and (marks.shape != shape or marks.dtype != np.bool_):
            raise ValueError(f"{self.name}: difficult must be bool {shape}, not {marks.dtype} {marks.shape}")

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[tuple[str, ImageSource, np.ndarray]]:
        return iter(zip(self.ids, self.images, self.labels, strict=True))

    def subset(self, indices: Sequence[int] | np.ndarray, name: str | None = None) -> "Dataset":
        """The images at `indices`, in that order."""
        indices = np.asarray(indices, dtype=np.int64)
        return replace(
            self,
            name=name or self.name,
            ids=tuple(self.ids[i] for i in indices),
            images=[self.images[i] for i in indices],
            labels=self.labels[indices],
            difficult=None if self.difficult is None else self.difficult[indices],
        )

    def with_classes(self, classes: Sequence[str]) -> "Dataset":
        """The same images with the columns in the order of `classes`.

        Raises:
            DataError: a class is missing here, or this dataset has one that `classes` lacks.
        """
        if tuple(classes) == self.classes:
            return self
        expected, places = frozenset(classes), {name: k for k, name in enumerate(self.classes)}
        missing = [name for name in classes if name not in places]
        extra = [name for name in places if name not in expected]
        if missing or extra:
            parts = [f"{label} {_shorten(names)}" for label, names in (("missing", missing), ("extra", extra)) if names]
            raise DataError(f"{self.name}: its classes differ from the expected {len(classes)}: {'; '.join(parts)}.")
        return self.only_classes([places[name] for name in classes])

    def only_classes(self, columns: Sequence[int] | np.ndarray, name: str | None = None) -> "Dataset":
        """The same images with the label columns at `columns` alone, in that order."""
        columns = np.asarray(columns, dtype=np.int64)
        return replace(
            self,
            name=name or self.name,
            classes=tuple(self.classes[i] for i in columns),
            labels=np.ascontiguousarray(self.labels[:, columns]),
            difficult=None if self.difficult is None else np.ascontiguousarray(self.difficult[:, columns]),
        )

    def fingerprint(self) -> str:
        """SHA-256 over classes, ids and labels, and over the pixels of images that exist only in memory.

        Files count by their ids: the same test set read on another machine has the same fingerprint. Marks of
        difficulty do not count: they decide nothing that is learned.
        """
        digest = hashlib.sha256()
        for part in (self.classes, self.ids):
            digest.update("\x1f".join(part).encode() + b"\x1e")
        digest.update(np.ascontiguousarray(self.labels).tobytes())
        for image in self.images:
            if isinstance(image, np.ndarray):
                digest.update(np.ascontiguousarray(image).data)
        return digest.hexdigest()


class DatasetFormat(Config):
    """One dataset layout: its options (what a recipe writes beside `format:`) and how it is read.

    Attributes:
        accepts: the bare path that stands for this format, in words for messages; empty when there is none.
    """

    accepts: ClassVar[str] = ""

    @classmethod
    def recognise(cls, path: Path) -> dict[str, Any] | None:
        """The options that read `path`, an existing file or folder, or None when it is not in this format."""
        return None

    def read(self, base: Path) -> Dataset:
        """Read the index and labels; relative paths are taken from `base` (the recipe's folder)."""
        raise NotImplementedError


FORMATS: Registry[type[DatasetFormat]] = Registry("dataset format", __package__, "edgedistill.datasets")


def _shorten(names: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(repr(name) for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
