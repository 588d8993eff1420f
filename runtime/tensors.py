"""What a graph takes and gives, as values."""

from collections.abc import Iterable

import msgspec
import numpy as np

from .record import Record

# Words for `kind`, and the names that export gives such outputs.
EMBEDDING = "embedding"
SALIENCY = "saliency"


class TensorSpec(Record):
    """A graph's input or output.

    Attributes:
        name: in the graph.
        dtype: numpy's word, e.g. "uint8", "float32".
        shape: a symbolic dimension is its name, e.g. ("batch", 224, 224, 3).
        kind: what a further output is, an open word: "embedding" float32 (batch, D), "saliency" float32
            (batch, C, h, w); empty for the others.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    kind: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype} ({', '.join(map(str, self.shape))})"


def by_their_names(specs: Iterable[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Outputs with the `kind` that export's names for them say, where their shape can be that of such a one."""
    return tuple(
        msgspec.structs.replace(spec, kind=spec.name)
        if spec.dtype == "float32" and len(spec.shape) == _AXES.get(spec.name) and isinstance(spec.shape[1], int)
        else spec
        for spec in specs
    )


_AXES = {EMBEDDING: 2, SALIENCY: 4}


class BatchRange(Record):
    """Batch sizes that an artifact accepts; `typical` is what TensorRT optimises for."""

    min: int = 1
    typical: int = 1
    max: int = 32

    @property
    def fixed(self) -> int | None:
        """The one size that is accepted; None where there are several."""
        return self.max if self.min == self.max else None

    @property
    def problem(self) -> str:
        """What is wrong with it, in words; empty when nothing is."""
        if 1 <= self.min <= self.typical <= self.max <= _LARGEST_BATCH:
            return ""
        return (
            f"batch min {self.min}, typical {self.typical}, max {self.max}: "
            f"needs 1 <= min <= typical <= max <= {_LARGEST_BATCH}"
        )


_LARGEST_BATCH = 65_536


def fits(own: TensorSpec, listed: TensorSpec) -> bool:
    """Whether a graph's `own` input or output can be what is `listed`: symbolic dimensions fit any."""
    if own.dtype != listed.dtype or len(own.shape) != len(listed.shape):
        return False
    pairs = zip(own.shape, listed.shape, strict=True)
    return all(isinstance(a, str) or isinstance(b, str) or a == b for a, b in pairs)


def takes(spec: TensorSpec, array: np.ndarray) -> bool:
    """Whether a graph's input can be this array; asked at every inference."""
    shape = spec.shape
    if array.dtype != spec.dtype or array.ndim != len(shape):
        return False
    for own, given in zip(shape, array.shape, strict=True):  # noqa: SIM110 (a generator costs more than all this)
        if own != given and not isinstance(own, str):
            return False
    return True
