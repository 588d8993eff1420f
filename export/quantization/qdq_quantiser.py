"""ONNX files in int8, for choosing."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from .adaptive_rounding import adapt_levels
from .bias_correction import correct_biases, expected_shifts, weight_errors
from .equalising import equalise
from .graph_images import GraphImages
from .held_out import run_logits, start
from .int8_weights import read_weights, write_levels
from .layer_inputs import read_layers, taken_values
from .layers import layer_snr
from .qdq import OPERATORS, Flavour, heavy_layers, quantise
from .quantiser import SHIFT_IMAGES, Equalised, Ranges
from .ranges import measure


@dataclass(frozen=True)
class QdqQuantiser:
    """Of one flavour; onnxruntime's CPU provider runs what it makes.

    Attributes:
        source: the float32 graph, from `qdq.prepare`, perhaps equalised.
        flavour: of the runtime.
        shifts: what is taken from the bias of each layer that is in int8, (O,) by layer.
        levels: of the weights of layers that are in int8, where they are not the nearest, int8 by layer.
    """

    source: Path
    flavour: Flavour
    shifts: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    levels: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        return self.flavour.name

    @property
    def corrects(self) -> bool:
        return bool(self.shifts)

    @property
    def timed_in(self) -> str:
        return self.flavour.timed_in

    def layers(self) -> list[str]:
        return heavy_layers(self.source)

    def quantise(self, ranges: Ranges, out: Path, *, in_float: Iterable[str] = ()) -> Path:
        source = self._corrected_source(set(self.shifts) - set(in_float), out)
        path = quantise(source, ranges, self.flavour, out.with_name(f"{out.name}.onnx"), in_float=in_float)
        return self._with_levels(path)

    def each_alone(self, ranges: Ranges, scratch: Path) -> Iterator[tuple[str, Path]]:
        for name in self.layers():
            source = self._corrected_source({name} & set(self.shifts), scratch / "alone")
            yield name, self._with_levels(quantise(source, ranges, self.flavour, scratch / "alone.onnx", only=[name]))

    def logits(self, model: Path, images: GraphImages) -> np.ndarray:
        return run_logits(model, images)

    def corrected(self, ranges: Ranges, images: GraphImages, scratch: Path) -> "QdqQuantiser":
        rounded = self.uncorrected().quantise(ranges, scratch / "rounded")
        errors = weight_errors(self.source, rounded)
        return replace(self, shifts=expected_shifts(self.source, errors, images.spread(SHIFT_IMAGES), scratch))

    def rounded_adaptively(self, ranges: Ranges, images: GraphImages, scratch: Path) -> "QdqQuantiser":
        nearest = replace(self, shifts={}, levels={})
        weights = read_weights(self.source, nearest.quantise(ranges, scratch / "nearest"))
        levels = adapt_levels(
            read_layers(self.source, weights),
            weights,
            lambda names: taken_values(self.source, names, images, scratch),
            len(images),
            self.flavour.weight_levels,
        )
        return replace(nearest, levels=levels).corrected(ranges, images, scratch)

    def uncorrected(self) -> "QdqQuantiser":
        return replace(self, shifts={})

    def equalised(self, images: GraphImages, scratch: Path) -> Equalised["QdqQuantiser"] | None:
        graph = scratch / "equalised.onnx"
        if not (pairs := equalise(self.source, graph)):
            return None
        return Equalised(QdqQuantiser(graph, self.flavour), measure(graph, images, scratch, OPERATORS), pairs)

    def layer_snr(self, model: Path, images: GraphImages, scratch: Path) -> Mapping[str, float]:
        return layer_snr(self.source, model, images, scratch)

    def run_once(self, model: Path, images: GraphImages) -> Callable[[], object]:
        session = start(model)
        takes = session.get_inputs()[0]
        feeds = {takes.name: next(images.batches(takes.shape[0], 1))}
        return lambda: session.run(None, feeds)

    def _with_levels(self, path: Path) -> Path:
        if self.levels:
            write_levels(path, self.levels)
        return path

    def _corrected_source(self, layers: set[str], out: Path) -> Path:
        if not layers:
            return self.source
        shifts = {layer: shift for layer, shift in self.shifts.items() if layer in layers}
        return correct_biases(self.source, shifts, out.with_name(f"{out.name}.corrected.onnx"))
