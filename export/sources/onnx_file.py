"""An ONNX file that somebody else wrote: PyTorch is not needed, and what it says is what onnxruntime computes of it."""

import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from ...runtime.backends.onnx_facts import read_onnx
from ...runtime.bundle import InputKind
from ...runtime.errors import ConfigError
from ...runtime.preprocess import Preprocessing
from ...runtime.tensors import TensorSpec
from ...runtime.text_files import read_bytes
from ..child import run_in_child
from ..errors import ExportError, one_line
from ..signature import BATCH, output_specs
from .base import NetworkCard, Source, make_card, preprocessing_text
from .onnx_graph import GivenGraph, read_graph
from .onnx_running import GivenRun, takes_any_batch
from .onnx_wrapping import Form, free_batch, write_wrapped

_BATCH = 16
_FLOATS = (1, 10, 11, 16)  # onnx.TensorProto's FLOAT, FLOAT16, DOUBLE and BFLOAT16
_NOTHING_DONE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)  # outside the graph


class OnnxSource(Source):
    """An ONNX file with its card.

    Args:
        card: what the bundle says of it.
        given: its graph.
        any_batch: whether it says the same of any number of images, also where a number is written into it.
        reading: see `Source`.
    """

    def __init__(self, card: NetworkCard, given: GivenGraph, *, any_batch: bool, reading: str = "") -> None:
        super().__init__(card, reading)
        self._given = given
        self._run = GivenRun(given.model, card.model, given.layout, card.preprocessing, given.batch or _BATCH)
        self._model = free_batch(given) if any_batch else given.model
        self._images: int | str = BATCH if any_batch or given.batch is None else given.batch

    @property
    def framework(self) -> str:
        import onnxruntime

        return f"onnxruntime {onnxruntime.__version__}"

    @property
    def parameters(self) -> int:
        return sum(math.prod(one.dims) for one in self._model.graph.initializer if one.data_type in _FLOATS)

    def logits(self, images: np.ndarray) -> np.ndarray:
        return self._run.scores(images, self._given.output)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return output_specs(len(self.card.classes), self._images)

    def image(self, input: InputKind) -> TensorSpec:
        if self._given.layout == "uint8_nhwc" and input != "uint8_nhwc":
            raise ConfigError(f"{self.card.model}: its graph takes uint8 pixels: `input: {input}` cannot be had of it.")
        spec = super().image(input)
        return msgspec.structs.replace(spec, shape=(self._images, *spec.shape[1:]))

    def write_onnx(
        self,
        input: InputKind,
        path: Path,
        *,
        opset: int | None = None,
        program: Callable[[], Path] | None = None,
    ) -> Path:
        import onnx

        source = path.with_suffix(".given.onnx")
        onnx.save(self._model, source)
        given = self._given
        form = Form(
            taken=given.input, layout=given.layout, logits=given.output, card=self.card, input=input, opset=opset
        )
        run_in_child(write_wrapped, source, form, path, what="the graph cannot be brought into a bundle's form")
        return path


def from_onnx(
    path: str | Path,
    *,
    classes: Sequence[str] | None = None,
    size: tuple[int, int] | None = None,
    resize: Literal["squash", "center_crop"] | None = None,
    interpolation: Literal["bilinear", "bicubic"] | None = None,
    mean: tuple[float, float, float] | None = None,
    std: tuple[float, float, float] | None = None,
    thresholds: Sequence[float] | None = None,
) -> OnnxSource:
    """A float32 classifier: images in, one score per class out.

    It takes float32 (N, 3, H, W) or (N, H, W, 3), normalised, or uint8 (N, H, W, 3). It gives logits (N, C), or their
    sigmoid. What is not said here is read from the file's own metadata, if it is one of ours; else it is assumed, and
    `reading` says so.

    Args:
        path: of the .onnx file; weights beside it are read too.
        classes: C names in the order of the scores.
        size: (height, width) in pixels; the graph's own where it is fixed there.
        resize: see `Preprocessing`; "squash" when nobody says.
        interpolation: see `Preprocessing`; "bilinear" when nobody says.
        mean: per RGB channel, in [0, 1] units; ImageNet's when nobody says.
        std: likewise.
        thresholds: (C,) probabilities from which a label is reported; 0.5 when nobody says.

    Raises:
        ConfigError: the options do not fit the graph, or a class or a size is missing.
        ExportError: the file cannot be read, or is no such classifier.
    """
    path = Path(path)
    data = read_bytes(path, ExportError)
    model, sha256 = _load(path, data)
    given = read_graph(model, str(path))
    own = given.facts.preprocessing
    if given.layout == "uint8_nhwc":
        if mean is not None or std is not None:
            raise ConfigError(f"{path}: its graph takes uint8 pixels and normalises them itself: no --mean, no --std.")
        mean, std = _NOTHING_DONE if own is None else (own.mean, own.std)
    names = classes or given.facts.classes
    if not names:
        raise ConfigError(f"{path}: does not say what its scores are: name the classes, e.g. --classes labels.txt.")
    options = {"resize": resize, "interpolation": interpolation, "mean": mean, "std": std}
    said = {key: value for key, value in options.items() if value is not None}
    wanted = _size(path, given.size, size, own)
    preprocessing = msgspec.structs.replace(own or Preprocessing(size=wanted), size=wanted, **said)
    card = make_card(
        name=path.stem,
        model=path.name,
        classes=names,
        preprocessing=preprocessing,
        sha256=sha256,
        thresholds=thresholds or given.facts.thresholds or None,
    )
    reading = _reading(given, preprocessing, () if own else tuple(set(options) - set(said)))
    return OnnxSource(card, given, any_batch=takes_any_batch(path, given, card), reading=reading)


def _load(path: Path, data: bytes) -> tuple[Any, str]:
    """The file's onnx.ModelProto with all weights, and the SHA-256 of all that it was read from."""
    import onnx

    try:
        facts = read_onnx(data)
        model = onnx.load(path)
    except Exception as error:  # protobuf's and onnx's own types
        raise ExportError(f"{path}: cannot be read as an ONNX file: {one_line(error)}") from error
    if facts.precision != "fp32":
        raise ExportError(
            f"{path}: computes in {facts.precision}: give the float32 file, of which export makes the others itself."
        )
    digest = hashlib.sha256(data)
    for name in sorted(facts.external):
        digest.update(read_bytes(path.parent / name, ExportError))
    return model, digest.hexdigest()


def _size(
    path: Path, fixed: tuple[int, int] | None, given: tuple[int, int] | None, own: Preprocessing | None
) -> tuple[int, int]:
    if fixed is not None and given not in (None, fixed):
        raise ConfigError(f"{path}: its graph takes {fixed[0]}x{fixed[1]} pixels and no others.")
    found = fixed or given or (own.size if own else None)
    if found is None:
        raise ConfigError(f"{path}: its graph takes any size: say which, e.g. --size 224.")
    return found


def _reading(given: GivenGraph, preprocessing: Preprocessing, assumed: Sequence[str]) -> str:
    ends = "its final sigmoid's input is the logits" if given.had_sigmoid else "it gives logits"
    how = preprocessing_text(preprocessing, normalised=given.layout != "uint8_nhwc")
    guess = f"; nobody said {', '.join(sorted(assumed))}: assumed" if assumed else ""
    return f"{how}{guess}; {ends}."
