"""What choosing needs of a quantiser: one for each kind of file."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, Self, TypeVar

import numpy as np

from .calibrators import Histogram
from .graph_images import GraphImages

SHIFT_IMAGES = 64  # by which biases are corrected: a mean over images and places wants few
Ranges = Mapping[str, tuple[float, float]]
Q_co = TypeVar("Q_co", covariant=True)


@dataclass(frozen=True)
class Equalised(Generic[Q_co]):
    """What a quantiser makes of weights that are equalised across layers.

    Attributes:
        quantiser: of the equalised float file.
        histograms: of its activations.
        pairs: how many pairs of layers there are.
    """

    quantiser: Q_co
    histograms: Mapping[str, Histogram]
    pairs: int


class Quantiser(Protocol):
    """Makes int8 files of one float file, and runs them.

    Attributes:
        name: for messages and file names, e.g. "u8s8".
        source: the float file.
        corrects: whether it takes from biases what rounded weights add.
    """

    @property
    def name(self) -> str: ...

    @property
    def source(self) -> Path: ...

    @property
    def corrects(self) -> bool: ...

    @property
    def timed_in(self) -> str:
        """The runtime that `run_once` uses; empty where another one runs its files in the end."""
        ...

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

    def corrected(self, ranges: Ranges, images: GraphImages, scratch: Path) -> Self:
        """The same with bias correction, see `bias_correction`.

        Raises:
            ExportError: the shift of the layers cannot be measured.
        """
        ...

    def uncorrected(self) -> Self:
        """The same without."""
        ...

    def rounded_adaptively(self, ranges: Ranges, images: GraphImages, scratch: Path) -> Self:
        """The same with weights that make up for each other's rounding, see `adaptive_rounding`, and bias correction.

        Raises:
            ExportError: the layers' inputs cannot be measured.
        """
        ...

    def equalised(self, images: GraphImages, scratch: Path) -> "Equalised[Self] | None":
        """The same, uncorrected, of the float file with scale moved across layers, see `equalising`.

        None where no layer can be equalised with another.

        Raises:
            ExportError: the weights cannot be equalised.
        """
        ...

    def layer_snr(self, model: Path, images: GraphImages, scratch: Path) -> Mapping[str, float]:
        """The signal-to-noise ratio of what each layer gives in a file that it made, in dB, the worst first.

        Raises:
            ExportError: a file cannot be run with its layers as outputs.
        """
        ...

    def run_once(self, model: Path, images: GraphImages) -> Callable[[], object]:
        """What runs a file that it made on the first image, each time that it is called."""
        ...
