"""`onnx.int8.<flavour>`: the float32 graph quantised by calibration, as each runtime computes it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ...runtime.targets import Gates
from ..child import run_in_child
from ..errors import ExportError
from ..quantization.calibration import stored_images
from ..quantization.calibrators import Histogram
from ..quantization.choosing import choose, judge_trained
from ..quantization.products import flavour_here, of_trained_weights
from ..quantization.qdq import OPERATORS, S8S8, U8S7, U8S8, Flavour, prepare, settle
from ..quantization.qdq_quantiser import QdqQuantiser
from ..quantization.ranges import measure
from ..quantization.weight_ranges import low_ranges
from .base import CONVERSIONS, Converted, Ingredients
from .onnx_fp32 import write_facts

_FLAVOURS = {flavour.name: flavour for flavour in (U8S8, U8S7, S8S8)}
_WHAT = "the graph cannot be quantised"


@CONVERSIONS.register("onnx.measured")
def onnx_measured(ingredients: Ingredients) -> Converted:
    """From `onnx.fp32`: BatchNorms folded, shapes known; beside it the values of its activations."""
    images, source = ingredients.calibration_images, ingredients.get("onnx.fp32")
    ingredients.say(f"measure activations on {len(images.ranges)} images")
    out = ingredients.scratch / "prepared.onnx"
    run_in_child(prepare_and_measure, source.path, ingredients.calibration_folder, out, what=_WHAT)
    return Converted(out, source.details)


def prepare_and_measure(source: str, calibration: str, out: str) -> None:
    """In the child: the prepared graph as `out` and the histograms beside it."""
    prepared = prepare(Path(source), Path(out))
    found = measure(prepared, stored_images(Path(calibration)).ranges, prepared.parent, OPERATORS)
    names = list(found)
    np.savez(
        _histograms_of(prepared),
        names=np.array(names),
        limits=np.array([(found[name].low, found[name].high) for name in names]),
        counts=np.stack([found[name].counts for name in names]),
    )


@CONVERSIONS.register("onnx.int8.u8s8")
def onnx_int8_u8s8(ingredients: Ingredients) -> Converted:
    """For onnxruntime and OpenVINO: unsigned activations, signed weights per channel.

    Where this CPU does not compute it right, it is `onnx.int8.u8s7`, which is chosen once for both.
    """
    if ingredients.source.trained_in_int8:
        return _trained(ingredients)
    flavour, weights = flavour_here(U8S8)
    if flavour is U8S8:
        return _quantised(ingredients, U8S8)
    of_7_bits = ingredients.get("onnx.int8.u8s7")
    return Converted(of_7_bits.path, of_7_bits.details | weights)


@CONVERSIONS.register("onnx.int8.u8s7")
def onnx_int8_u8s7(ingredients: Ingredients) -> Converted:
    """The same with weights of 7 bits, which no CPU's sums of products overflow."""
    if ingredients.source.trained_in_int8:
        raise ExportError("the student was trained in int8 with weights of 8 bits: remove the key `weight_bits`.")
    return _quantised(ingredients, U8S7)


@CONVERSIONS.register("onnx.int8.s8s8")
def onnx_int8_s8s8(ingredients: Ingredients) -> Converted:
    """For TensorRT: symmetric activations and weights, float biases."""
    return _quantised(ingredients, S8S8)


def _quantised(ingredients: Ingredients, flavour: Flavour) -> Converted:
    measured = ingredients.get("onnx.measured")
    path, details = run_in_child(
        choose_graph,
        *(measured.path, flavour.name, ingredients.calibration_folder, ingredients.int8_limits),
        what=_WHAT,
        say=ingredients.say,
    )
    return Converted(Path(path), measured.details | details)


def choose_graph(
    prepared: str, flavour: str, calibration: str, limits: dict[str, Any], say: Callable[[str], None]
) -> tuple[str, dict[str, str]]:
    """In the child: the best graph of a flavour, in a folder of its own, and the details of how it was chosen."""
    source = Path(prepared)
    scratch = source.with_name(flavour)  # other flavours may be chosen at once
    scratch.mkdir()
    kind = _FLAVOURS[flavour]
    chosen = choose(
        QdqQuantiser(source, kind),
        _load_histograms(_histograms_of(source)),
        stored_images(Path(calibration)),
        limits=msgspec.convert(limits, Gates),
        scratch=scratch,
        say=say,
    )
    low = low_ranges(source)
    _, weights = flavour_here(kind)
    details = {"quantization": flavour} | weights | chosen.details | ({"weight_ranges": low} if low else {})
    return str(chosen.best.path), details


def _trained(ingredients: Ingredients) -> Converted:
    """As a training in int8 left it: judged on the held-out images, and not changed."""
    source = ingredients.get("onnx.fp32")
    written = ingredients.source.write_int8(
        ingredients.input, ingredients.scratch / "trained.int8.onnx", opset=ingredients.opset
    )
    write_facts(written, ingredients.facts)
    details = run_in_child(
        settle_and_judge,
        *(source.path, written, ingredients.calibration_folder, ingredients.int8_limits),
        what=_WHAT,
    )
    return Converted(written, source.details | details)


def settle_and_judge(source: str, written: str, calibration: str, limits: dict[str, Any]) -> dict[str, str]:
    """In the child: the details of a graph that was trained in int8."""
    settle(Path(written))
    quantiser, images = QdqQuantiser(Path(source), U8S8), stored_images(Path(calibration))
    chosen = judge_trained(quantiser, Path(written), images, limits=msgspec.convert(limits, Gates))
    return {"quantization": U8S8.name} | of_trained_weights() | chosen.details


def _histograms_of(prepared: Path) -> Path:
    return prepared.with_name("histograms.npz")


def _load_histograms(path: Path) -> dict[str, Histogram]:
    with np.load(path, allow_pickle=False) as stored:
        rows = zip(stored["names"].tolist(), stored["limits"].tolist(), stored["counts"], strict=True)
        return {name: Histogram(low, high, counts) for name, (low, high), counts in rows}
