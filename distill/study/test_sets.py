"""What the cells of a study are scored on, and when."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...runtime.datasets import Dataset, open_dataset
from ..experiment.splits import Splits, refuse_shared
from .record import Result


@dataclass(frozen=True)
class TestSets:
    """The recipe's test split, and further ones.

    Attributes:
        at_once: whether they are read at the end of each cell; else only when somebody asks.
        others: data sets by name, as a recipe's `data` section has them.
        base: folder that their relative paths start from.
    """

    at_once: bool = True
    others: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    base: Path = Path()

    def lacking(self, result: Result) -> bool:
        """Whether a result lacks one of them."""
        return not result.test_scored or not self.others.keys() <= result.other_tests.keys()

    def open_others(self, splits: Splits) -> dict[str, Dataset]:
        """By name; no image is read.

        Raises:
            DataError: one has other classes than the splits, shares images with what is learned or chosen by, or is
                faulty.
        """
        found = {}
        for name, spec in self.others.items():
            found[name] = open_dataset(spec, self.base, classes=splits.train.classes)
            for key, part in (("data.train", splits.train), ("data.validation", splits.validation)):
                refuse_shared(f"other_tests.{name}", found[name], key, part)
        return found
