"""What a backend opens."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ..tensors import BatchRange, TensorSpec


class ModelFile(Protocol):
    """A file of a model.

    Attributes:
        name: relative to the model's folder, with forward slashes, e.g. "onnx/model.fp32.onnx".
        label: for messages: where it is.
    """

    @property
    def name(self) -> str: ...

    @property
    def label(self) -> str: ...

    def read(self) -> bytes:
        """The content, checked against its hash where there is one: what is parsed is what was hashed."""
        ...


@dataclass(frozen=True)
class Model:
    """What a backend opens.

    Attributes:
        name: for messages.
        files: the main file first.
        precision: what the arithmetic is claimed to be, e.g. "fp32".
        inputs: what the graph takes, as far as it is known before it is opened; empty to learn it from the graph.
        outputs: the outputs that are wanted of it; empty for all. A graph may have more.
        batch: batch sizes that it accepts.
        details: what its builder recorded for the backend.
    """

    name: str
    files: tuple[ModelFile, ...]
    precision: str
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    batch: BatchRange = field(default_factory=BatchRange)
    details: Mapping[str, str] = field(default_factory=dict)
