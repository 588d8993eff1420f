"""LiteRT files in int8: the float file is run to measure its activations, LiteRT's own quantiser writes the others."""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.backends.litert import LiteRtBackend, start
from ...runtime.backends.litert_facts import Operator, read_litert
from ...runtime.backends.model import Model
from ...runtime.device import usable_cores
from ...runtime.errors import EdgedistillError
from ..child import run_in_child
from ..errors import ExportError, one_line
from ..litert.quantise import quantise
from .calibrators import BINS, Histogram
from .graph_images import GraphImages
from .quantiser import Ranges
from .ranges import drawn

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
    """

    source: Path
    python: Path
    name: str = "litert"
    graph: None = None  # its files are not rewritten

    @cached_property
    def _operators(self) -> list[Operator]:
        return read_litert(self.source.read_bytes()).operators

    def layers(self) -> list[str]:
        return [operator.name for operator in self._operators if operator.kind in _LAYERS]

    def quantise(self, ranges: Ranges, out: Path, *, in_float: Iterable[str] = ()) -> Path:
        path = out.with_name(f"{out.name}.tflite")
        static, dynamic = self._inner()
        spared = set(in_float)
        self._write(ranges, [_variant(path, static - spared, dynamic - spared)])
        return path

    def each_alone(self, ranges: Ranges, scratch: Path) -> Iterator[tuple[str, Path]]:
        static, dynamic = self._inner()
        folder = scratch / "alone"
        folder.mkdir(exist_ok=True)
        paths = {name: folder / f"{place}.tflite" for place, name in enumerate(self.layers())}
        self._write(ranges, [_variant(path, static & {name}, dynamic & {name}) for name, path in paths.items()])
        for name, path in paths.items():
            yield name, path
            path.unlink()

    def logits(self, model: Path, images: GraphImages) -> np.ndarray:
        try:
            with LiteRtBackend(_model(model), threads=usable_cores()) as backend:
                parts = [backend.infer(images[at : at + 1])["logits"] for at in range(len(images))]
        except EdgedistillError as error:
            raise ExportError(f"LiteRT refuses the quantised file: {one_line(error)}") from error
        return np.concatenate(parts)

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

    def _write(self, ranges: Ranges, variants: list[dict[str, Any]]) -> None:
        run_in_child(
            quantise,
            self.source,
            ranges,
            variants,
            what="LiteRT's quantiser refuses the graph",
            python=self.python,
        )


def measure(source: Path, images: GraphImages) -> dict[str, Histogram]:
    """Histograms of every float activation of a .tflite file.

    Two passes over the images, as `ranges.measure` makes them: exact extremes, then the counts between them.

    Args:
        source: a float32 file that takes one image at a time.
        images: what its only input takes.

    Raises:
        ExportError: LiteRT cannot run it with its inner tensors kept.
    """
    limits: dict[str, tuple[float, float]] = {}
    rng = np.random.default_rng(0)
    try:
        for name, values in _activations(source, images):
            low, high = limits.get(name, (np.inf, -np.inf))
            limits[name] = min(low, float(values.min())), max(high, float(values.max()))
        counts = {name: np.zeros(BINS, np.int64) for name in limits}
        for name, values in _activations(source, images):
            counts[name] += np.histogram(drawn(values, 1, rng), BINS, limits[name])[0]
    except Exception as error:  # its exception types are Python's own
        raise ExportError(f"the activations cannot be measured: {one_line(error)}") from error
    return {name: Histogram(low, high, counts[name]) for name, (low, high) in limits.items()}


def _activations(source: Path, images: GraphImages) -> Iterator[tuple[str, np.ndarray]]:
    """(tensor, values) of each float result of an operator, image after image."""
    data = source.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that keeping inner tensors is for debugging
        interpreter = start(data, num_threads=usable_cores(), experimental_preserve_all_tensors=True)
    made = {name for operator in read_litert(data).operators for name in operator.results}
    kept = {
        tensor["name"]: tensor["index"]
        for tensor in interpreter.get_tensor_details()
        if tensor["name"] in made and tensor["dtype"] is np.float32
    }
    (image,) = interpreter.get_input_details()
    for at in range(len(images)):
        interpreter.set_tensor(image["index"], images[at : at + 1])
        interpreter.invoke()
        for name, place in kept.items():
            values = interpreter.get_tensor(place)
            yield name, values[np.isfinite(values)]  # max pooling's border is -inf


def _variant(path: Path, static: set[str], dynamic: set[str]) -> dict[str, Any]:
    return {"out": path, "static": sorted(static), "dynamic": sorted(dynamic)}


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


def _model(path: Path) -> Model:
    return Model(name=path.name, files=(_File(path),), precision="fp32")
