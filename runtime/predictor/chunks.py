"""Images by the chunk: what is decoded and run together."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

from ..errors import DataError
from ..images import ImageSource


class Chunk(NamedTuple):
    """Some images.

    Attributes:
        first: the place of its first image.
        sources: its images.
    """

    first: int
    sources: list[ImageSource]


class Answered(NamedTuple):
    """A chunk that was decoded and run.

    Attributes:
        first: the place of its first image.
        sources: its images.
        problems: for each why it could not be decoded, or None.
        outputs: the graph's, for those that could, in order; empty when none could.
    """

    first: int
    sources: list[ImageSource]
    problems: list[DataError | None]
    outputs: dict[str, np.ndarray]

    def whole(self) -> "Answered":
        """Itself, where every image could be decoded; raises the first one's problem otherwise."""
        for problem in self.problems:
            if problem is not None:
                raise problem
        return self


def chunks(sources: Iterable[ImageSource], size: int) -> Iterator[Chunk]:
    """Up to `size` images each, in order."""
    rest, first = iter(sources), 0
    while taken := list(islice(rest, size)):
        yield Chunk(first, taken)
        first += len(taken)
