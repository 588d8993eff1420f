"""What choosing needs of a quantiser: one for each kind of file."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from .graph_images import GraphImages

Ranges = Mapping[str, tuple[float, float]]


class Quantiser(Protocol):
    """Makes int8 files of one float file, and runs them.

    Attributes:
        name: for messages and file names, e.g. "u8s8".
        source: the float file.
    """

    @property
    def name(self) -> str: ...

    @property
    def source(self) -> Path: ...

    def layers(self) -> list[str]:
        """Names of the operators with nearly all of the arithmetic, in the graph's order."""
        ...

    def quantise(self, ranges: Ranges, out: Path, *, in_float: Iterable[str] = ()) -> Path:
        """Write an int8 file.

        Args:
            ranges: (low, high) of each activation.
            out: the file, but for its suffix, which is the format's own.
            in_float: layers that are not quantised.

        Returns:
            the file.

        Raises:
            ExportError: the library refuses the graph.
        """
        ...

    def each_alone(self, ranges: Ranges, scratch: Path) -> Iterator[tuple[str, Path]]:
        """Each layer with a file in which it alone is quantised; the next may overwrite it.

        Raises:
            ExportError: the library refuses the graph.
        """
        ...

    def logits(self, model: Path, images: GraphImages) -> np.ndarray:
        """The logits float32 (N, C) of the float file or of one that was made of it.

        Raises:
            ExportError: the runtime refuses the graph.
        """
        ...
