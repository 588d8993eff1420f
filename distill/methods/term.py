"""A term of a loss, which says itself what becomes of it when a step's images come in parts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

Reduction = Literal["batchmean", "sum"]


@dataclass(frozen=True)
class Term:
    """One weighted term of a method.

    From `reduction` and `relates_images` follows what a step does with its parts, the pieces of `accumulate` and those
    of several processes: the parts of a mean are averaged, those of a sum are added, and a relation is computed on the
    outputs of the whole step.

    Attributes:
        value: scalar, with a graph; the terms' sum is the training loss.
        reduction: over images: `batchmean`, divided by their number, those included of which no label is known, or
            `sum`.
        relates_images: whether images are compared with each other, so that the value of a batch does not follow from
            the values of its parts. What divides by anything but the number of images, such as the number of known
            labels, does too. Where each process keeps to its own images (`relations: local`), the processes' values
            are put together by `reduction`.
    """

    value: Tensor
    reduction: Reduction = "batchmean"
    relates_images: bool = False

    def times(self, factor: float) -> "Term":
        """The same term, weighed by another factor."""
        return replace(self, value=factor * self.value)


Terms = dict[str, Term]
"""By name, in the order in which they are logged."""


def values(terms: Mapping[str, Term]) -> dict[str, Tensor]:
    """The scalars by name."""
    return {name: term.value for name, term in terms.items()}


def total(terms: Mapping[str, Term]) -> Tensor:
    """The training loss of one batch."""
    return torch.stack([term.value for term in terms.values()]).sum()
