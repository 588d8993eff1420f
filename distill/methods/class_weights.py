"""A method whose supervised loss knows how much each class counts, or how often it occurs."""

from typing import Literal, TypeVar

import msgspec
import numpy as np
from torch import Tensor

from ..losses import distribution_balanced
from ..losses._common import full_precision
from .base import Method
from .supervised import ClassWeighted, DistributionBalanced, SupervisedLoss, loss_of, numbers_beside
from .term import Reduction

MethodT = TypeVar("MethodT", bound=Method)


class Counted(SupervisedLoss, tag="counted", kw_only=True):
    """The distribution-balanced loss of a training part, whose labels are counted; never written.

    Attributes:
        loss: its hyper-parameters.
        present: by class, images in which it is present.
        absent: by class, images in which it is absent.
    """

    by_label = False

    loss: DistributionBalanced
    present: tuple[int, ...]
    absent: tuple[int, ...]

    @property
    def name(self) -> str:
        """The loss's."""
        return self.loss.name

    @full_precision
    def __call__(self, logits: Tensor, targets: Tensor, reduction: Reduction | Literal["none"]) -> Tensor:
        """See `SupervisedLoss`."""
        options = {key: value for key, value in msgspec.structs.asdict(self.loss).items() if key != "temperature"}
        counts = numbers_beside(logits, self.present), numbers_beside(logits, self.absent)
        return distribution_balanced(logits / self.loss.temperature, targets, *counts, **options, reduction=reduction)


def count_classes(method: MethodT, labels: np.ndarray) -> MethodT:
    """The method, told how often each class occurs where its supervised loss asks for it; labels int8 (N, C)."""
    loss = loss_of(method.learns_by)
    if method.supervised is None or not isinstance(loss, DistributionBalanced):
        return method
    present, absent = (tuple((labels == label).sum(axis=0).tolist()) for label in (1, 0))
    return msgspec.structs.replace(method, supervised=Counted(loss=loss, present=present, absent=absent))


def weigh_classes(method: MethodT, weights: tuple[float, ...]) -> MethodT:
    """The method with its supervised loss, and a decoder's, weighted by class: C factors."""
    return msgspec.structs.replace(method, supervised=ClassWeighted(loss=loss_of(method.learns_by), weights=weights))
