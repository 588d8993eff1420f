"""Adaptive rounding: against every rounding that there is, PyTorch's own patches, and what it saves."""

import itertools
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from torch.nn import functional as F

from edgedistill.export.quantization import held_out, qdq
from edgedistill.export.quantization.adaptive_rounding import adapt_levels, round_adaptively
from edgedistill.export.quantization.graph_images import GraphImages
from edgedistill.export.quantization.int8_weights import LEVELS_OF_7_BITS, read_weights, write_levels
from edgedistill.export.quantization.layer_inputs import Layer, input_moments, read_layers, taken_values
from edgedistill.export.quantization.qdq_quantiser import QdqQuantiser
from edgedistill.export.quantization.ranges import measure
from edgedistill.runtime.preprocess import Preprocessing


def cost(levels, weights, scale, moments):
    """What the rounding changes of each output, on average: e H e."""
    error = levels * scale - weights
    return np.einsum("gok,gkl,gol->go", error, moments, error)


@pytest.fixture
def problem():
    """Two groups of three channels with four weights each, whose inputs go together."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(2, 500, 4)) + 3 * rng.normal(size=(2, 500, 1))
    moments = inputs.transpose(0, 2, 1) @ inputs / 500
    weights = rng.normal(0, 3, (2, 3, 4))
    return weights, np.ones((2, 3, 1)), moments


def test_it_comes_near_the_best_of_all_roundings(problem):
    weights, scale, moments = problem
    found = cost(round_adaptively(weights, scale, moments), weights, scale, moments)
    nearest = cost(np.rint(weights), weights, scale, moments)
    every = [cost(np.floor(weights) + up, weights, scale, moments) for up in itertools.product((0, 1), repeat=4)]
    best = np.min(every, axis=0)
    assert (found >= best - 1e-9).all()
    assert found.sum() < 1.5 * best.sum() < nearest.sum()


@pytest.mark.parametrize("largest", [127, 3])
def test_levels_are_those_of_gptq(largest):
    """Equations 2 and 3 as they are printed, with the inverse: one weight after the other, without blocks."""
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(2, 900, 150)) @ rng.normal(size=(2, 150, 150)) / 12 + 2
    moments = inputs.transpose(0, 2, 1) @ inputs / 900
    weights, scale = rng.normal(0, 3, (2, 5, 150)), rng.uniform(0.5, 1, (2, 5, 1))
    expected = np.empty(weights.shape)
    for group in range(2):
        order = np.argsort(-np.diagonal(moments[group]), kind="stable")
        hessian = moments[group][order][:, order] + 0.01 * np.diagonal(moments[group]).mean() * np.eye(150)
        upper = np.linalg.cholesky(np.linalg.inv(hessian)).T
        left = weights[group][:, order].copy()
        for k, place in enumerate(order):
            level = np.clip(np.rint(left[:, k] / scale[group, :, 0]), -largest, largest)
            expected[group, :, place] = level
            left[:, k:] -= np.outer((left[:, k] - level * scale[group, :, 0]) / upper[k, k], upper[k, k:])
    np.testing.assert_array_equal(round_adaptively(weights, scale, moments, largest), expected)


def test_inputs_that_do_not_go_together_leave_the_nearest_levels(problem):
    weights, scale, _ = problem
    alone = np.stack([np.diag([1.0, 5.0, 0.0, 2.0])] * 2)
    np.testing.assert_array_equal(round_adaptively(weights, scale, alone), np.rint(weights))
    np.testing.assert_array_equal(round_adaptively(weights, scale, 0 * alone), np.rint(weights))


@pytest.mark.parametrize("largest", [127, 64])
def test_levels_stay_within_the_largest(problem, largest):
    weights, scale, moments = problem
    levels = round_adaptively(100 * weights, scale, moments, largest)
    assert levels.dtype == np.int8
    assert levels.min() == -largest


def test_more_weights_than_a_block_holds_are_rounded_alike(problem, monkeypatch):
    weights, scale, moments = problem
    whole = round_adaptively(weights, scale, moments)
    monkeypatch.setattr("edgedistill.export.quantization.adaptive_rounding._BLOCK", 3)
    np.testing.assert_array_equal(round_adaptively(weights, scale, moments), whole)


@pytest.mark.parametrize(("groups", "stride", "dilation"), [(1, 1, 1), (2, 2, 1), (4, 1, 2)])
def test_patches_are_what_a_convolution_multiplies(groups, stride, dilation):
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(3, 4, 9, 8)).astype(np.float32)
    weight = rng.normal(size=(8, 4 // groups, 3, 3)).astype(np.float32)
    layer = Layer(
        name="", takes="", groups=groups, weights=weight[0].size, axes=(0, 1, 2, 3), kernel=(3, 3),
        strides=(stride,) * 2, dilations=(dilation,) * 2, pads=(1, 0, 2, 1),
    )  # fmt: skip
    patches = layer.patches(maps, 1000, rng)
    found = np.einsum("gnk,gok->ngo", patches, layer.rows(weight)).reshape(3, -1, 8)
    padded = F.pad(torch.from_numpy(maps), (0, 1, 1, 2))
    expected = F.conv2d(padded, torch.from_numpy(weight), stride=stride, dilation=dilation, groups=groups)
    np.testing.assert_allclose(found, expected.flatten(2).transpose(1, 2), atol=1e-4)
    assert layer.patches(maps, 5, rng).shape == (groups, 15, weight[0].size)
    np.testing.assert_array_equal(layer.shaped(layer.rows(weight), weight.shape), weight)


def test_the_moments_are_the_covariance_of_what_a_layer_takes(measured, tmp_path):
    prepared, _, images, _ = measured
    layer = Layer(name="linear", takes="flat", groups=1, weights=8, axes=(1, 0))
    taken = taken_values(prepared, ["flat"], images.ranges, tmp_path)
    (found,) = input_moments([layer], taken, len(images.ranges), np.random.default_rng(0))
    model = onnx.load(prepared)
    model.graph.output.append(onnx.helper.make_tensor_value_info("flat", onnx.TensorProto.FLOAT, None))
    onnx.save(model, tmp_path / "tapped.onnx")
    flat = np.concatenate([values for (values,) in held_out.run(tmp_path / "tapped.onnx", images.ranges, ["flat"])])
    np.testing.assert_allclose(found[0], np.cov(flat.T, bias=True), rtol=1e-3, atol=1e-5)


def test_the_logits_of_a_network_come_nearer_and_layers_in_float_are_left(measured, tmp_path):
    prepared, histograms, images, _ = measured
    everything = {name: (h.low, h.high) for name, h in histograms.items()}
    # In one scale for a whole tensor most of the error is that of the weights.
    coarse = QdqQuantiser(prepared, qdq.Flavour("per-tensor", signed=False, per_channel=False))
    nearest = coarse.corrected(everything, images.ranges, tmp_path)
    adapted = nearest.rounded_adaptively(everything, images.ranges, tmp_path)
    exact = held_out.run_logits(prepared, images.held_out)

    def error(quantiser, name):
        path = quantiser.quantise(everything, tmp_path / name)
        return np.abs(held_out.run_logits(path, images.held_out) - exact).mean()

    assert error(adapted, "adapted") < 0.95 * error(nearest, "nearest")
    of_7_bits = replace(coarse, flavour=replace(coarse.flavour, weight_levels=LEVELS_OF_7_BITS))
    levels = of_7_bits.rounded_adaptively(everything, images.ranges, tmp_path).levels.values()
    assert max(np.abs(found).max() for found in levels) == LEVELS_OF_7_BITS
    spared = adapted.quantise(everything, tmp_path / "spared", in_float=["conv3"])
    weights = read_weights(prepared, spared)
    assert sorted(weights) == sorted({*adapted.levels} - {"conv3"})
    for name, weight in weights.items():
        np.testing.assert_array_equal(weight.levels, adapted.levels[name])
        assert np.abs(weight.levels - weight.exact / weight.scale).max() < 8


def test_a_layer_whose_moments_no_memory_holds_is_left_as_it_is(measured, monkeypatch, tmp_path):
    prepared, histograms, images, _ = measured
    path = qdq.quantise(prepared, {n: (h.low, h.high) for n, h in histograms.items()}, qdq.U8S8, tmp_path / "q.onnx")
    monkeypatch.setattr("edgedistill.export.quantization.adaptive_rounding._MOST_NUMBERS", 71 * 71)
    some = GraphImages(images.ranges.pixels[:4])
    weights = read_weights(prepared, path)
    layers = read_layers(prepared, weights)
    levels = adapt_levels(layers, weights, lambda names: taken_values(prepared, names, some, tmp_path), len(some))
    assert sorted(levels) == ["conv0", "linear"]  # of 27 and 8 weights; the others have 72
    write_levels(path, {})


def test_a_graph_whose_first_layer_takes_the_image_itself_is_rounded_too(tmp_path):
    """As with `--input float32_nchw`, where nothing in the graph normalises."""
    rng, make = np.random.default_rng(0), onnx.helper.make_node
    nodes = [
        make("Conv", ["image", "kernel"], ["map"], "conv"),
        make("GlobalAveragePool", ["map"], ["pooled"], "pool"),
        make("Flatten", ["pooled"], ["flat"], "flatten"),
        make("Gemm", ["flat", "head"], ["logits"], "linear"),
    ]
    weights = {"kernel": rng.normal(size=(8, 3, 3, 3)), "head": rng.normal(size=(8, 4))}
    tensors = [onnx.numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    takes, gives = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("image", ["batch", 3, 8, 8]), ("logits", ["batch", 4]))
    )
    graph = onnx.helper.make_graph(nodes, "small", [takes], [gives], tensors)
    path = tmp_path / "float.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9), path)
    pixels = rng.integers(0, 256, (8, 8, 8, 3), np.uint8)
    images = GraphImages(pixels, Preprocessing(size=(8, 8)))
    prepared = qdq.prepare(path, tmp_path / "prepared.onnx")
    everything = {name: (h.low, h.high) for name, h in measure(prepared, images, tmp_path, qdq.OPERATORS).items()}
    found = QdqQuantiser(prepared, qdq.U8S8).rounded_adaptively(everything, images, tmp_path)
    assert sorted(found.levels) == ["conv", "linear"]
