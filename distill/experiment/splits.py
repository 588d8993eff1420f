"""The three parts of an experiment's data."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...runtime.datasets import Dataset, open_dataset
from ...runtime.datasets.overlap import TOLERATED, shared_images
from ...runtime.errors import DataError
from ...runtime.images import source_name
from ..data.split import split_validation

if TYPE_CHECKING:
    from ..recipe.schema import DataSpec

_log = logging.getLogger("edgedistill")


@dataclass(frozen=True)
class Splits:
    """The data of an experiment, all with the same classes in the same order."""

    train: Dataset
    validation: Dataset
    test: Dataset


def open_splits(data: "DataSpec", base: Path, seed: int) -> Splits:
    """Read indices and labels; opens no image and writes nothing.

    Args:
        data: a recipe's `data:` section.
        base: folder that its relative paths start from.
        seed: of the draw, where validation is a share of the training data.

    Raises:
        DataError: the splits' classes differ, they share images, or a file is wrong.
    """
    train = open_dataset(data.train, base)
    test = open_dataset(data.test, base, classes=train.classes)
    if isinstance(data.validation, dict):
        validation = open_dataset(data.validation, base, classes=train.classes)
        _refuse_shared("data.validation", validation, "data.train", train)
        _refuse_shared("data.test", test, "data.validation", validation)
    _refuse_shared("data.test", test, "data.train", train)
    if not isinstance(data.validation, dict):
        train, validation = split_validation(train, data.validation, seed)
    return Splits(train, validation, test)


def _refuse_shared(key: str, part: Dataset, other_key: str, other: Dataset) -> None:
    """Raise DataError where two splits share more than a few images; a few are told, as published splits have some."""
    shared = shared_images(part, other)
    if not len(shared):
        return
    what = f"{key}: {len(shared)} of its images are in {other_key} too ({source_name(part.images[shared[0]])}, ...)"
    if len(shared) > TOLERATED * len(part):
        raise DataError(f"{what}: accuracy on them would mean nothing. Give disjoint splits.")
    _log.warning("%s: accuracy on them means nothing.", what)
