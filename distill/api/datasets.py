"""PyTorch's data sets as ours: pixels before any augmentation, labels as one matrix."""

import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, overload

import numpy as np
import torch
from PIL import Image
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    default_collate,
)

from ...runtime.datasets import NEGATIVE, POSITIVE, UNKNOWN, Dataset, open_dataset
from ...runtime.errors import ConfigError, DataError, first_line
from ...runtime.images import ImageSource

Data = Any
"""What `as_dataset` takes: ours, a path or mapping that `open_dataset` reads, a torch Dataset or a loader."""

_SAMPLED = 64  # images whose pixels stand for all, where reading every one would cost a pass
_ALL = 4096  # images up to which all are read
_LABELS = (UNKNOWN, NEGATIVE, POSITIVE)


class _Pixels(Sequence[ImageSource]):
    """The images of a torch data set, each as uint8 (H, W, 3), read when it is used.

    One at a time in a process: a torch data set is made for processes, and may hold a file that threads would share.
    """

    def __init__(self, source: Any, places: np.ndarray, name: str, alone: "threading.Lock | None" = None) -> None:
        self.source, self.places, self.name = source, places, name
        self.alone = alone or threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return _Pixels, (self.source, self.places, self.name)

    def at(self, places: np.ndarray | slice) -> "_Pixels":
        """Those at some places; none is read."""
        return _Pixels(self.source, self.places[places], self.name, self.alone)

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> ImageSource: ...
    @overload
    def __getitem__(self, index: slice) -> "_Pixels": ...
    def __getitem__(self, index: int | slice) -> "ImageSource | _Pixels":
        if isinstance(index, slice):
            return self.at(index)
        place = int(self.places[index])
        with self.alone:
            image = _item(self.source, place, self.name)[0]
        return to_pixels(image, f"{self.name}: item {place}")

    def __iter__(self) -> Iterator[ImageSource]:
        return (self[index] for index in range(len(self)))


@dataclass(frozen=True)
class TorchDataset(Dataset):
    """A torch data set of (image, labels), known by its labels and by the pixels of some of its images."""

    pixels_sha256: str = field(default="", kw_only=True)

    def subset(self, indices: Sequence[int] | np.ndarray, name: str | None = None) -> "TorchDataset":
        """The images at `indices`, in that order; none is read."""
        images = cast("_Pixels", self.images)
        indices = np.asarray(indices, dtype=np.int64)
        return TorchDataset(
            name or self.name,
            self.classes,
            tuple(self.ids[i] for i in indices),
            images.at(indices),
            self.labels[indices],
            pixels_sha256=self.pixels_sha256,
        )

    def fingerprint(self) -> str:
        """SHA-256 over classes, ids and labels, and the pixels that were looked at when it was opened."""
        named = Dataset(self.name, self.classes, self.ids, [""] * len(self), self.labels)
        return hashlib.sha256(f"{named.fingerprint()} {self.pixels_sha256}".encode()).hexdigest()

    def shows_the_same_as(self, other: "TorchDataset") -> bool:
        """Whether the images are the same in the same order, as far as those tell that were looked at."""
        return len(self) == len(other) and self.pixels_sha256 == other.pixels_sha256


def as_dataset(data: Data, classes: Sequence[str] | None = None, name: str = "data") -> Dataset:
    """What a user calls data, as a data set.

    Args:
        data: a Dataset of ours; a path or mapping for `runtime.datasets.open_dataset`; a torch Dataset whose items are
            (image, labels), or a DataLoader around one, of which the data set alone is taken: `batch_size` is
            `distil`'s own, and an epoch is whole steps, whatever `drop_last` says. An image is a Pillow image, a uint8
            array (H, W, 3) or tensor (3, H, W), or floats in [0, 1]: before any normalisation and augmentation, which
            are the training's. Labels are (C,): 1 present, 0 absent, -1 unknown.
        classes: C names, whose order the labels are brought to where the data has `classes` of its own; without, those,
            or numbers.
        name: of a torch data set, which messages and its images' ids begin with.

    Raises:
        ConfigError: a loader has a sampler or a `collate_fn` of its own, or the data set is none that has a length.
        DataError: an item is no image with labels, the labels differ in length, or the data's own classes are others.
    """
    if isinstance(data, Dataset):
        return data if classes is None else data.with_classes(classes)
    if isinstance(data, str | Path | Mapping):
        return open_dataset(data, classes=classes)
    if isinstance(data, DataLoader):
        data = _of_loader(data, name)
    if isinstance(data, IterableDataset) or not hasattr(data, "__getitem__") or not hasattr(data, "__len__"):
        raise ConfigError(
            f"{name}: {type(data).__name__} has no length or no items by number: training draws images by number. "
            "Give a data set with `__len__` and `__getitem__`."
        )
    return _read(data, classes, name)


def _of_loader(loader: "DataLoader[Any]", name: str) -> Any:
    """Its data set; what else it does would be lost unseen, where training does not do the same."""
    reason = ""
    if not isinstance(loader.sampler, RandomSampler | SequentialSampler):
        reason = (
            f"the loader's {type(loader.sampler).__name__} would not be used, since training draws its own order to be "
            "resumable. Give the data set itself, with `sampler=` for a balanced order"
        )
    elif type(loader.batch_sampler) is not BatchSampler:
        reason = "the loader's `batch_sampler` would not be used: give the data set itself, and `batch_size=`"
    elif loader.collate_fn is not default_collate:
        reason = (
            "the loader's `collate_fn` would not be used: give the data set itself, whose items are one image with its "
            "labels each; `mix=` and `augment=` are the training's"
        )
    elif loader.drop_last and name == "validation":
        reason = "the loader's `drop_last` would not be used, since every image is judged: leave it out"
    if reason:
        raise ConfigError(f"{name}: {reason}.")
    return loader.dataset


def to_pixels(image: Any, where: str) -> np.ndarray:
    """uint8 (H, W, 3) RGB of what a torch data set gives as an image; `where` begins messages."""
    if isinstance(image, Image.Image):
        return np.asarray(image.convert("RGB"))
    array = image.detach().cpu().numpy() if isinstance(image, torch.Tensor) else np.asarray(image)
    channels_first = array.ndim == 3 and array.shape[0] in (1, 3)
    if channels_first and (isinstance(image, torch.Tensor) or array.shape[-1] not in (1, 3)):
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[-1] not in (1, 3):
        raise DataError(f"{where}: its image has the shape {array.shape}: (3, H, W) or (H, W, 3) is wanted.")
    if np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())
        if low < 0:
            raise DataError(
                f"{where}: its image has values from {low:.3g} to {high:.3g}, not within [0, 1]: it is normalised "
                "already. Give images before Normalize; the network's mean and std are `input`'s."
            )
        if high > 1:
            raise DataError(f"{where}: its image is of floats up to {high:.3g}: divide by 255, or give uint8.")
        array = np.round(array * 255).astype(np.uint8)
    if array.dtype != np.uint8:
        raise DataError(f"{where}: its image is {array.dtype}: uint8, or floats in [0, 1], are wanted.")
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))


def _read(data: Any, classes: Sequence[str] | None, name: str) -> TorchDataset:
    count = len(data)
    if not count:
        raise DataError(f"{name}: it has no images.")
    known = _labels_at_hand(data, count)
    few = range(count) if known is None or count <= _ALL else range(0, count, -(-count // _SAMPLED))
    rows, pixels_sha256 = _look(data, few, name)
    if known is None or len(few) == count:
        known = rows
    elif not np.array_equal(known[few], rows):  # its items are labelled otherwise: what they say counts
        known, pixels_sha256 = _look(data, range(count), name)
    own, numbers = tuple(getattr(data, "classes", None) or ()), tuple(map(str, range(known.shape[1])))
    names = tuple(classes or own or numbers)
    if len(set(names)) < len(names):
        twice = next(one for one in names if names.count(one) > 1)
        raise DataError(
            f"{name}: two of its classes are called {twice!r}: a student's classes have names of their own."
        )
    if len(names) != known.shape[1]:
        raise DataError(f"{name}: {known.shape[1]} labels an image, and {len(names)} class names.")
    images = _Pixels(data, np.arange(count), name)
    ids = tuple(f"{name}-{place}" for place in range(count))
    named = len(own) == len(names) and names != numbers  # else there is nothing to match
    found = TorchDataset(name, own if named else names, ids, images, known, pixels_sha256=pixels_sha256)
    return cast("TorchDataset", found.with_classes(names))


def _look(data: Any, places: Sequence[int], name: str) -> tuple[np.ndarray, str]:
    """The labels of some items, int8 (n, C), and a digest of their pixels."""
    digest, rows = hashlib.sha256(), []
    for place in places:
        item = _item(data, place, name)
        if not isinstance(item, tuple | list) or len(item) < 2:
            raise DataError(f"{name}: item {place} is no pair of an image and its labels.")
        digest.update(to_pixels(item[0], f"{name}: item {place}").tobytes())
        rows.append(_row(item[1], place, name))
    if len({len(row) for row in rows}) > 1:
        raise DataError(f"{name}: its items have different numbers of labels.")
    return np.stack(rows), digest.hexdigest()


def _item(data: Any, place: int, name: str) -> Any:
    """One item; a file that is missing or damaged is an image like others that cannot be decoded."""
    try:
        return data[place]
    except OSError as error:  # Pillow's too
        raise DataError(
            f"{name}: item {place} cannot be read ({type(error).__name__}: {first_line(error)})."
        ) from error


def _labels_at_hand(data: Any, count: int) -> np.ndarray | None:
    """The matrix that many data sets keep, which spares a pass over the images; None where it holds something else."""
    for key in ("labels", "targets"):
        found = getattr(data, key, None)
        if isinstance(found, np.ndarray | torch.Tensor) and found.ndim == 2 and len(found) == count:
            matrix = np.asarray(found.detach().cpu() if isinstance(found, torch.Tensor) else found)
            if np.isin(matrix, _LABELS).all():
                return matrix.astype(np.int8)
    return None


def _row(labels: Any, place: int, name: str) -> np.ndarray:
    row = np.asarray(labels.detach().cpu() if isinstance(labels, torch.Tensor) else labels)
    if row.ndim != 1 or not np.isin(row, _LABELS).all():
        raise DataError(
            f"{name}: the labels of item {place} are {row.tolist()!r:.80}: one number for each class is wanted, 1 "
            "present, 0 absent, -1 unknown."
        )
    return row.astype(np.int8)
