"""The three parts of an experiment's data."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...runtime.datasets import UNKNOWN, Dataset, open_dataset
from ...runtime.datasets.overlap import TOLERATED, shared_images
from ...runtime.errors import DataError
from ...runtime.images import source_name
from ..data.split import split_validation

if TYPE_CHECKING:
    from ..recipe.schema import DataSpec

_log = logging.getLogger("edgedistill")


@dataclass(frozen=True)
class Splits:
    """The data of an experiment, all with the same classes in the same order.

    Attributes:
        train: images with labels.
        validation: selects epochs and thresholds.
        test: judges.
        unlabelled: images that only a teacher says something about; None: there are none.
    """

    train: Dataset
    validation: Dataset
    test: Dataset
    unlabelled: Dataset | None = None

    @property
    def taught(self) -> Dataset:
        """What a student learns from that has a teacher: `train`, and after it the images without labels."""
        return self.train if self.unlabelled is None else _joined(self.train, self.unlabelled)


def open_splits(data: "DataSpec", base: Path, seed: int) -> Splits:
    """Read indices and labels; opens no image and writes nothing.

    Args:
        data: a recipe's `data:` section.
        base: folder that its relative paths start from.
        seed: of the draw, where validation is a share of the training data and has no seed of its own.

    Raises:
        DataError: the splits' classes differ, they share images, or a file is wrong.
    """
    train = open_dataset(data.train, base)
    test = open_dataset(data.test, base, classes=train.classes)
    if isinstance(data.validation, dict):
        validation = open_dataset(data.validation, base, classes=train.classes)
        refuse_shared("data.validation", validation, "data.train", train)
        refuse_shared("data.test", test, "data.validation", validation)
    refuse_shared("data.test", test, "data.train", train)
    if not isinstance(data.validation, dict):
        drawn_by = seed if data.validation_seed is None else data.validation_seed
        train, validation = split_validation(train, data.validation, drawn_by)
    unlabelled = None if data.unlabelled is None else _read_unlabelled(data.unlabelled, base, (train, validation, test))
    return Splits(train, validation, test, unlabelled)


def _read_unlabelled(spec: dict[str, Any], base: Path, splits: tuple[Dataset, ...]) -> Dataset:
    """The photographs that none of the splits holds, whatever labels their format has made unknown."""
    found = open_dataset(spec, base, classes=splits[0].classes)
    held = [row for part in splits for row in shared_images(found, part)]
    if held:
        found = found.subset(np.setdiff1d(np.arange(len(found)), held))
    if not len(found):
        raise DataError("data.unlabelled: every photograph is in a split already: give others, or remove the key.")
    taken = frozenset(splits[0].ids)
    ids = tuple(f"unlabelled/{name}" if name in taken else name for name in found.ids)
    return replace(found, ids=ids, labels=np.full_like(found.labels, UNKNOWN), difficult=None)


def _joined(first: Dataset, second: Dataset) -> Dataset:
    """The images of both, with the first's name; what is marked difficult decides nothing in training."""
    return replace(
        first,
        ids=first.ids + second.ids,
        images=[*first.images, *second.images],
        labels=np.concatenate([first.labels, second.labels]),
        difficult=None,
    )


def refuse_shared(key: str, part: Dataset, other_key: str, other: Dataset) -> None:
    """Raise DataError where two splits share more than a few images; a few are told, as published splits have some."""
    shared = shared_images(part, other)
    if not len(shared):
        return
    what = f"{key}: {len(shared)} of its images are in {other_key} too ({source_name(part.images[shared[0]])}, ...)"
    if len(shared) > TOLERATED * len(part):
        raise DataError(f"{what}: accuracy on them would mean nothing. Give disjoint splits.")
    _log.warning("%s: accuracy on them means nothing.", what)
