"""Bias correction of .tflite files against sums written out, and what it saves."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("ai_edge_litert", reason="the extra `litert`")

from ai_edge_litert.tools import flatbuffer_utils as tools

from edgedistill.export.litert.constants import BIAS, WEIGHTS, constant, layers_of, shifted
from edgedistill.export.quantization.graph_images import GraphImages
from edgedistill.export.quantization.litert_bias_correction import expected_shifts
from edgedistill.export.quantization.litert_quantiser import LiteRtQuantiser
from edgedistill.export.quantization.litert_ranges import measure
from edgedistill.export.quantization.litert_weights import read_weights
from edgedistill.export.toolchains import toolchain_python
from edgedistill.runtime.backends.litert import start
from edgedistill.runtime.errors import MissingDependencyError

SOURCE = Path(__file__).parents[1] / "golden" / "litert" / "convolutions.tflite"
QUANTISED = SOURCE.with_name("convolutions.int8.tflite")  # its depthwise layer is in float


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return GraphImages(rng.integers(0, 256, (24, 4, 4, 3), np.uint8).repeat(4, axis=1).repeat(4, axis=2))


@pytest.fixture(scope="module")
def python():
    try:
        return toolchain_python("litert")
    except MissingDependencyError as error:
        pytest.skip(str(error))


def inner(name, images):
    """What a tensor of the float file holds, (N, ...)."""
    interpreter = start(SOURCE.read_bytes(), experimental_preserve_all_tensors=True)
    place = next(one["index"] for one in interpreter.get_tensor_details() if one["name"] == name)
    (image,) = interpreter.get_input_details()
    found = []
    for at in range(len(images)):
        interpreter.set_tensor(image["index"], images[at : at + 1])
        interpreter.invoke()
        found.append(interpreter.get_tensor(place))
    return np.concatenate(found)


def logits(path, images):
    return LiteRtQuantiser(SOURCE, Path()).logits(path, images)


def test_errors_are_those_of_rounding_to_127_levels_per_channel():
    found, model = read_weights(SOURCE, QUANTISED), tools.read_model(str(SOURCE))
    assert list(found) == ["conv_2d_1", "conv_2d_2", "logits"]
    for name, layer in layers_of(model).items():
        if name not in found:
            continue
        exact = constant(model, layer.inputs[WEIGHTS])
        scale = np.abs(exact).max(axis=tuple(range(1, exact.ndim)), keepdims=True) / 127
        np.testing.assert_allclose(found[name].error, np.round(exact / scale) * scale - exact, atol=1e-6)


def test_a_shift_is_the_mean_of_what_the_errors_add_before_the_activation(images):
    rng = np.random.default_rng(1)
    model = tools.read_model(str(SOURCE))
    weights = {name: constant(model, layer.inputs[WEIGHTS]) for name, layer in layers_of(model).items()}
    errors = {name: rng.normal(0, 0.1, value.shape).astype(np.float32) for name, value in weights.items()}
    found = expected_shifts(SOURCE, errors, images)
    taken = {name: torch.from_numpy(inner(name, images)) for name in ("pad_1", "max_pool_2d_1", "mean_1")}
    first = torch.from_numpy(errors["conv_2d_1"].transpose(0, 3, 1, 2).copy())
    added = torch.nn.functional.conv2d(taken["pad_1"].permute(0, 3, 1, 2), first, stride=2)
    np.testing.assert_allclose(found["conv_2d_1"], added.mean((0, 2, 3)), rtol=1e-4, atol=1e-6)
    depthwise = torch.from_numpy(errors["depthwise_conv_2d_1"].transpose(3, 0, 1, 2).copy())
    added = torch.nn.functional.conv2d(taken["max_pool_2d_1"].permute(0, 3, 1, 2), depthwise, padding=1, groups=8)
    np.testing.assert_allclose(found["depthwise_conv_2d_1"], added.mean((0, 2, 3)), rtol=1e-4, atol=1e-6)
    added = taken["mean_1"].numpy() @ errors["logits"].T
    np.testing.assert_allclose(found["logits"], added.mean(0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("state", ["own", "shared", "none"])
def test_a_bias_is_shifted_whoever_else_reads_it(state, images, tmp_path):
    model, source, moved = tools.read_model(str(SOURCE)), tmp_path / "source.tflite", tmp_path / "moved.tflite"
    tensors, head = model.subgraphs[0].tensors, layers_of(model)["logits"]
    own, other = constant(model, head.inputs[BIAS]), len(tensors)
    if state == "shared":
        tensors.append(copy.copy(tensors[head.inputs[BIAS]]))
    elif state == "none":
        head.inputs = head.inputs[:BIAS]
    tools.write_model(model, str(source))
    shift = np.arange(1, 5, dtype=np.float64)
    moved.write_bytes(shifted(str(source), {"logits": shift}))
    np.testing.assert_allclose(logits(moved, images), logits(source, images) - shift, rtol=1e-5, atol=1e-5)
    after = tools.read_model(str(moved))
    if state == "shared":
        np.testing.assert_array_equal(constant(after, other), own)
    elif state == "own":
        assert moved.stat().st_size == source.stat().st_size


@pytest.mark.slow
def test_a_shift_that_rounding_adds_is_taken_back_and_layers_in_float_keep_their_biases(python, images, tmp_path):
    ranges = {name: (one.low, one.high) for name, one in measure(SOURCE, images).items()}
    plain = LiteRtQuantiser(SOURCE, python)
    quantiser = plain.corrected(ranges, images, tmp_path)
    assert list(quantiser.shifts) == ["conv_2d_1", "depthwise_conv_2d_1", "conv_2d_2", "logits"]
    assert quantiser.corrects
    assert not quantiser.uncorrected().corrects
    before, after = (one.quantise(ranges, tmp_path / str(at)) for at, one in enumerate((plain, quantiser)))
    expected = logits(SOURCE, images)
    without, with_ = (np.abs((logits(path, images) - expected).mean(axis=0)).mean() for path in (before, after))
    assert with_ < without
    spared = quantiser.quantise(ranges, tmp_path / "spared", in_float=["depthwise_conv_2d_1"])
    own, kept = (tools.read_model(str(path)) for path in (SOURCE, spared))
    biases = [constant(model, layers_of(model)["depthwise_conv_2d_1"].inputs[BIAS]) for model in (own, kept)]
    np.testing.assert_array_equal(*biases)
