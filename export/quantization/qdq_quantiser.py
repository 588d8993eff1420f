"""ONNX files in int8, for choosing."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .graph_images import GraphImages
from .held_out import run_logits
from .qdq import Flavour, heavy_layers, quantise
from .quantiser import Ranges


@dataclass(frozen=True)
class QdqQuantiser:
    """Of one flavour; onnxruntime's CPU provider runs what it makes.

    Attributes:
        source: the float32 graph, from `qdq.prepare`.
        flavour: of the runtime.
    """

    source: Path
    flavour: Flavour

    @property
    def name(self) -> str:
        return self.flavour.name

    def layers(self) -> list[str]:
        return heavy_layers(self.source)

    def quantise(self, ranges: Ranges, out: Path, *, in_float: Iterable[str] = ()) -> Path:
        return quantise(self.source, ranges, self.flavour, out.with_name(f"{out.name}.onnx"), in_float=in_float)

    def each_alone(self, ranges: Ranges, scratch: Path) -> Iterator[tuple[str, Path]]:
        for name in self.layers():
            yield name, quantise(self.source, ranges, self.flavour, scratch / "alone.onnx", only=[name])

    def logits(self, model: Path, images: GraphImages) -> np.ndarray:
        return run_logits(model, images)
