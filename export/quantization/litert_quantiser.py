"""LiteRT files in int8, which LiteRT's own quantiser writes, for choosing."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.backends.litert import LiteRtBackend
from ...runtime.backends.litert_facts import Operator, read_litert
from ...runtime.backends.model import Model
from ...runtime.device import usable_cores
from ...runtime.errors import EdgedistillError
from ..child import run_in_child
from ..errors import ExportError, one_line
from ..litert.quantise import quantise
from .adaptive_rounding import adapt_levels
from .graph_images import GraphImages
from .layers import snr_of
from .litert_bias_correction import expected_shifts
from .litert_equalising import equalise
from .litert_layers import read_layers
from .litert_ranges import measure
from .litert_tensors import inner_values
from .litert_weights import read_weights, write_levels
from .quantiser import SHIFT_IMAGES, Equalised, Ranges

_LOGITS = "logits"
_MATRIX_PRODUCT = "FULLY_CONNECTED"
_LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "CONV_3D", "TRANSPOSE_CONV", _MATRIX_PRODUCT)


@dataclass(frozen=True)
class LiteRtQuantiser:
    """Of a float32 .tflite file that takes one image at a time.

    What lies before the first layer, the normalisation of pixels, stays in float32. So does what the last layer gives:
    where it is a matrix product, its weights are int8 and its input is quantised as it comes ("dynamic"), else it stays
    in float32 altogether; 256 levels for the logits of all classes would tie images that they rank.

    Attributes:
        source: the file.
        python: of an environment with ai-edge-quantizer.
        shifts: what is taken from the bias of each layer that is in int8, (O,) by layer.
        levels: of the weights of layers that are in int8, where they are not the nearest, int8 by layer.
    """

    source: Path
    python: Path
    shifts: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    levels: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    name: str = "litert"
    timed_in: str = "LiteRT"

    @property
    def corrects(self) -> bool:
        return bool(self.shifts)

    @cached_property
    def _operators(self) -> list[Operator]:
        return read_litert(self.source.read_bytes()).operators

    def layers(self) -> list[str]:
        return [operator.name for operator in self._operators if operator.kind in _LAYERS]

    def quantise(self, ranges: Ranges, out: Path, *, in_float: Iterable[str] = ()) -> Path:
        path = out.with_name(f"{out.name}.tflite")
        static, dynamic = self._inner()
        spared = set(in_float)
        self._write(ranges, [self._variant(path, static - spared, dynamic - spared)])
        return path

    def each_alone(self, ranges: Ranges, scratch: Path) -> Iterator[tuple[str, Path]]:
        static, dynamic = self._inner()
        folder = scratch / "alone"
        folder.mkdir(exist_ok=True)
        paths = {name: folder / f"{place}.tflite" for place, name in enumerate(self.layers())}
        self._write(ranges, [self._variant(path, static & {name}, dynamic & {name}) for name, path in paths.items()])
        for name, path in paths.items():
            yield name, path
            path.unlink()

    def logits(self, model: Path, images: GraphImages) -> np.ndarray:
        try:
            with _loaded(model) as backend:
                parts = [backend.infer(images[at : at + 1])["logits"] for at in range(len(images))]
        except EdgedistillError as error:
            raise ExportError(f"LiteRT refuses the quantised file: {one_line(error)}") from error
        return np.concatenate(parts)

    def corrected(self, ranges: Ranges, images: GraphImages, scratch: Path) -> "LiteRtQuantiser":
        rounded = read_weights(self.source, self.uncorrected().quantise(ranges, scratch / "rounded"))
        errors = {name: weight.error for name, weight in rounded.items()}
        return replace(self, shifts=expected_shifts(self.source, errors, images.spread(SHIFT_IMAGES)))

    def uncorrected(self) -> "LiteRtQuantiser":
        return replace(self, shifts={})

    def rounded_adaptively(self, ranges: Ranges, images: GraphImages, scratch: Path) -> "LiteRtQuantiser":
        nearest = replace(self, shifts={}, levels={})
        weights = read_weights(self.source, nearest.quantise(ranges, scratch / "nearest"))
        layers = read_layers(self.source, weights)
        levels = adapt_levels(layers, weights, lambda names: inner_values(self.source, images, names), len(images))
        return replace(nearest, levels=levels).corrected(ranges, images, scratch)

    def equalised(self, images: GraphImages, scratch: Path) -> Equalised["LiteRtQuantiser"] | None:
        path = scratch / "equalised.tflite"
        if not (pairs := equalise(self.source, path)):
            return None
        return Equalised(LiteRtQuantiser(path, self.python), measure(path, images), pairs)

    def layer_snr(self, model: Path, images: GraphImages, scratch: Path) -> Mapping[str, float]:
        """Of what each layer gives behind its activation, which is a part of it here."""
        names = self.layers()
        return snr_of(*(inner_values(path, images, names) for path in (self.source, model)))

    def run_once(self, model: Path, images: GraphImages) -> Callable[[], object]:
        backend = _loaded(model)
        return lambda: backend.infer(images[:1])

    def _inner(self) -> tuple[set[str], set[str]]:
        """Operators that are computed in int8 altogether, and the last layers that are matrix products."""
        places = [place for place, operator in enumerate(self._operators) if operator.kind in _LAYERS]
        if not places:
            raise ExportError("LiteRT's quantiser finds no convolution and no matrix product in the graph.")
        heads, around = self._last()
        inner = {operator.name for operator in self._operators[places[0] :]}
        products = {head.name for head in heads if head.kind == _MATRIX_PRODUCT}
        return inner - around - {head.name for head in heads}, products

    def _last(self) -> tuple[list[Operator], set[str]]:
        """The layers whose results become logits without another layer between, and names of what comes after them."""
        heads, after = [], set()
        wanted = {_LOGITS}
        for operator in reversed(self._operators):
            if wanted.isdisjoint(operator.results):
                continue
            if operator.kind in _LAYERS:
                heads.append(operator)
            else:
                after.add(operator.name)
                wanted.update(operator.inputs)
        made = {_LOGITS}
        for operator in self._operators:
            if not made.isdisjoint(operator.inputs):
                after.add(operator.name)
                made.update(operator.results)
        return heads, after

    def _variant(self, path: Path, static: set[str], dynamic: set[str]) -> dict[str, Any]:
        """What is in float has nothing to correct."""
        shifts = {name: shift.tolist() for name, shift in self.shifts.items() if name in static | dynamic}
        return {"out": path, "static": sorted(static), "dynamic": sorted(dynamic), "shifts": shifts}

    def _write(self, ranges: Ranges, variants: list[dict[str, Any]]) -> None:
        run_in_child(
            quantise,
            self.source,
            ranges,
            variants,
            what="LiteRT's quantiser refuses the graph",
            python=self.python,
        )
        if self.levels:
            for variant in variants:
                write_levels(variant["out"], self.levels)


@dataclass(frozen=True)
class _File:
    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def label(self) -> str:
        return self.path.name

    def read(self) -> bytes:
        return self.path.read_bytes()


def _loaded(path: Path) -> LiteRtBackend:
    return LiteRtBackend(_model(path), threads=usable_cores())


def _model(path: Path) -> Model:
    return Model(name=path.name, files=(_File(path),), precision="fp32")
