"""Training-only branches: networks beside the head whose outputs a method reads, gone at export."""

from collections.abc import Callable
from typing import Literal, NamedTuple

from torch import nn

from .calibration import CalibrationBranch
from .ml_decoder import MLDecoder

BranchName = Literal["ml_decoder", "calibration"]


class Branch(NamedTuple):
    """A branch that a recipe may name.

    Attributes:
        gives: the ModelOutput field that it fills.
        build: makes it from the channels F of the last map and the number of classes C.
    """

    gives: str
    build: Callable[[int, int], nn.Module]


BRANCHES: dict[BranchName, Branch] = {
    "ml_decoder": Branch("embeddings", MLDecoder),
    "calibration": Branch("calibration_logits", CalibrationBranch),
}


def branch_for(field: str) -> BranchName | None:
    """The branch that fills a ModelOutput field; None where none does."""
    return next((name for name, branch in BRANCHES.items() if branch.gives == field), None)
