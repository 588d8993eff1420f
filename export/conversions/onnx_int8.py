"""`onnx.int8.<flavour>`: the float32 graph quantised by calibration, as each runtime computes it."""

from pathlib import Path

import numpy as np

from ..quantization.calibrators import Histogram
from ..quantization.choosing import choose, judge_trained
from ..quantization.qdq import OPERATORS, S8S8, U8S8, Flavour, prepare, settle
from ..quantization.qdq_quantiser import QdqQuantiser
from ..quantization.ranges import measure
from ..quantization.weight_ranges import low_ranges
from .base import CONVERSIONS, Converted, Ingredients
from .onnx_fp32 import write_facts


@CONVERSIONS.register("onnx.prepared")
def onnx_prepared(ingredients: Ingredients) -> Converted:
    """From `onnx.fp32`: BatchNorms folded, shapes known."""
    source = ingredients.get("onnx.fp32")
    return Converted(prepare(source.path, ingredients.scratch / "prepared.onnx"), source.details)


@CONVERSIONS.register("calibration.histograms")
def calibration_histograms(ingredients: Ingredients) -> Converted:
    """What values the prepared graph's activations take: measured once for all flavours."""
    images = ingredients.calibration_images
    prepared = ingredients.get("onnx.prepared")
    ingredients.say(f"measure activations on {len(images.ranges)} images")
    found = measure(prepared.path, images.ranges, ingredients.scratch, OPERATORS)
    path = ingredients.scratch / "histograms.npz"
    names = list(found)
    np.savez(
        path,
        names=np.array(names),
        limits=np.array([(found[name].low, found[name].high) for name in names]),
        counts=np.stack([found[name].counts for name in names]),
    )
    return Converted(path)


@CONVERSIONS.register("onnx.int8.u8s8")
def onnx_int8_u8s8(ingredients: Ingredients) -> Converted:
    """For onnxruntime and OpenVINO: unsigned activations, signed weights per channel."""
    return _trained(ingredients) if ingredients.source.trained_in_int8 else _quantised(ingredients, U8S8)


@CONVERSIONS.register("onnx.int8.s8s8")
def onnx_int8_s8s8(ingredients: Ingredients) -> Converted:
    """For TensorRT: symmetric activations and weights, float biases."""
    return _quantised(ingredients, S8S8)


def _quantised(ingredients: Ingredients, flavour: Flavour) -> Converted:
    images = ingredients.calibration_images
    prepared = ingredients.get("onnx.prepared")
    histograms = _load_histograms(ingredients.get("calibration.histograms").path)
    chosen = choose(
        QdqQuantiser(prepared.path, flavour),
        histograms,
        images,
        limits=ingredients.int8_limits,
        scratch=ingredients.scratch,
        say=ingredients.say,
    )
    low = low_ranges(prepared.path)
    ranges = {"weight_ranges": low} if low else {}
    return Converted(chosen.best.path, prepared.details | {"quantization": flavour.name} | chosen.details | ranges)


def _trained(ingredients: Ingredients) -> Converted:
    """As a training in int8 left it: judged on the held-out images, and not changed."""
    images, prepared = ingredients.calibration_images, ingredients.get("onnx.prepared")
    written = ingredients.source.write_int8(
        ingredients.input, ingredients.scratch / "trained.int8.onnx", opset=ingredients.opset
    )
    settle(written)
    write_facts(written, ingredients.facts)
    chosen = judge_trained(QdqQuantiser(prepared.path, U8S8), written, images, limits=ingredients.int8_limits)
    return Converted(written, prepared.details | {"quantization": U8S8.name} | chosen.details)


def _load_histograms(path: Path) -> dict[str, Histogram]:
    with np.load(path, allow_pickle=False) as stored:
        rows = zip(stored["names"].tolist(), stored["limits"].tolist(), stored["counts"], strict=True)
        return {name: Histogram(low, high, counts) for name, (low, high), counts in rows}
