"""Equalisation by what layers take: against other scales, and what it saves in kernels such as RepVGG's."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgedistill.export.quantization import held_out, qdq, ranges
from edgedistill.export.quantization.equalising import Pair, taken_by_pairs
from edgedistill.export.quantization.graph_images import GraphImages
from edgedistill.export.quantization.input_equalising import best_scale, equalise_by_inputs, noise_of
from edgedistill.export.quantization.layer_inputs import Sizes, channel_sizes, taken_values
from edgedistill.export.quantization.qdq_quantiser import QdqQuantiser


def rounded(values, step):
    return np.rint(values / step) * step


def test_the_noise_is_that_of_rounding():
    """Of weights with a step for each output, of values with one step: against errors that are drawn."""
    rng, inputs, levels = np.random.default_rng(0), 24, 7
    scale = rng.lognormal(0, 1, inputs)
    taken = rng.uniform(-1, 1, (4000, inputs)) * rng.lognormal(0, 1, inputs)
    weight = rng.uniform(-1, 1, (60, inputs)) * rng.lognormal(0, 1, (60, 1))
    sizes = Sizes(np.sqrt(np.square(taken).mean(0)), np.abs(taken).max(0))
    given = np.sqrt(np.square(weight * sizes.rms).sum(1))
    moved, divided = weight * scale, taken / scale
    of_weights = rounded(moved, np.abs(moved).max(1, keepdims=True) / levels) - moved
    of_values = rounded(divided, np.abs(divided).max() / 255) - divided
    expected = np.square(divided @ of_weights.T).mean(0) + np.square(of_values @ moved.T).mean(0)
    found = noise_of((np.abs(weight) / given[:, None])[None, :, :, None], sizes, levels, scale)
    assert found == pytest.approx((expected / np.square(given)).sum(), rel=0.15)


def test_scales_around_it_add_no_less_where_each_output_has_a_largest_weight_of_its_own():
    """As in RepVGG's fused kernels, where weights cost most."""
    rng, inputs = np.random.default_rng(0), 24
    rms = rng.lognormal(0, 1, inputs)
    sizes, levels = Sizes(rms, 4 * rms), 64
    weight = (rng.normal(0, 0.1, (inputs, inputs)) + np.diag(rng.lognormal(2, 1, inputs)))[None, :, :, None]
    shares = np.abs(weight) / np.sqrt(np.square(weight[..., 0] * rms).sum(2))[..., None, None]

    def noise(scale):
        return noise_of(shares, sizes, levels, scale)

    found = best_scale(weight, sizes, levels)
    assert noise(found) < 0.8 * noise(np.ones(inputs))
    assert noise(found) < 1.05 * min(noise(found * other) for other in rng.lognormal(0, 0.5, (500, inputs)))


def test_a_depthwise_layer_gets_channels_that_are_alike_and_an_even_one_keeps_its_own():
    depthwise = best_scale(np.full((3, 1, 1, 9), 2.0), Sizes(np.array([1.0, 10, 100]), np.array([3.0, 30, 300])), 127)
    np.testing.assert_allclose(depthwise, [0.1, 1.0, 10.0])
    even = best_scale(np.ones((1, 4, 3, 1)), Sizes(np.ones(3), np.full(3, 3.0)), 127)
    np.testing.assert_allclose(even, 1.0)


@pytest.mark.parametrize("side", ["first", "second", "size"])
def test_a_channel_that_is_zero_on_a_side_is_left(side):
    rng = np.random.default_rng(0)
    sides = {"first": rng.normal(size=(3, 2, 1, 1)), "second": rng.normal(size=(4, 3, 1, 1)), "size": np.ones(3)}
    sides["size"][2] = 50.0
    sides[side][(slice(None), 1) if side == "second" else 1] = 0
    values = {"first": sides["first"], "second": sides["second"], "bias": np.ones(3)}
    sizes = {"second": Sizes(sides["size"], sides["size"])}
    equalise_by_inputs(values, [Pair("first", "bias", "second", 1)], sizes, 127)
    scale = 1 / values["bias"]
    assert scale[1] == 1.0
    assert scale[2] > 2 * scale[0]
    np.testing.assert_allclose(values["first"] * scale.reshape(-1, 1, 1, 1), sides["first"])
    np.testing.assert_allclose(values["second"] / scale.reshape(1, -1, 1, 1), sides["second"])


def test_sizes_are_those_of_the_channels_that_layers_take(measured, tmp_path):
    prepared, _, images, _ = measured
    takes = taken_by_pairs(prepared)
    assert takes == {f"w{number}": f"x{number}" for number in range(1, 8)}
    found = channel_sizes(takes, taken_values(prepared, list(takes.values()), images.ranges, tmp_path), axis=1)
    model = onnx.load(prepared)
    model.graph.output.append(helper.make_empty_tensor_value_info("x3"))
    onnx.save(model, tmp_path / "inner.onnx")
    maps = np.concatenate([batch for (batch,) in held_out.run(tmp_path / "inner.onnx", images.ranges, ["x3"])])
    np.testing.assert_allclose(found["w3"].rms, np.sqrt(np.square(maps).mean((0, 2, 3))), rtol=1e-5)
    np.testing.assert_allclose(found["w3"].largest, maps.max((0, 2, 3)), rtol=1e-5)
    last = channel_sizes({"layer": "x3"}, [{"x3": maps[:7].transpose(0, 2, 3, 1)}, {"x3": maps[7:].swapaxes(1, 3)}], -1)
    np.testing.assert_allclose(last["layer"].rms, found["w3"].rms, rtol=1e-5)


def test_kernels_with_an_identity_in_them_come_nearer_to_what_they_give_in_float(tmp_path):
    """Six layers of RepVGG, whose channels differ in size and in how much of the identity is in them.

    Of 7 bits, where weights cost most, whatever this CPU is; of 8, equalisation by ranges may be the better one.
    """
    rng, make, channels = np.random.default_rng(0), helper.make_node, 24
    nodes = [make("Cast", ["image"], ["real"], to=1), make("Transpose", ["real"], ["x0"], perm=[0, 3, 1, 2])]
    tensors, taken = [], 3
    for i in range(6):
        weight = rng.normal(0, 1 / np.sqrt(9 * taken), (channels, taken, 3, 3)) / (128 if i == 0 else 1)
        if i:
            weight[np.arange(channels), np.arange(channels), 1, 1] += rng.lognormal(0, 1, channels)
        weight /= np.sqrt(np.square(weight).sum((1, 2, 3), keepdims=True)) * (128 if i == 0 else 1)
        weight *= rng.lognormal(0, 1, (channels, 1, 1, 1))
        tensors.append(numpy_helper.from_array(weight.astype(np.float32), f"w{i}"))
        tensors.append(numpy_helper.from_array(rng.normal(0, 0.3, channels).astype(np.float32), f"b{i}"))
        nodes.append(make("Conv", [f"x{i}", f"w{i}", f"b{i}"], [f"c{i}"], f"conv{i}", pads=[1, 1, 1, 1]))
        nodes.append(make("Relu", [f"c{i}"], [f"x{i + 1}"], f"relu{i}"))
        taken = channels
    tensors.append(numpy_helper.from_array(rng.normal(0, 1, (channels, 8)).astype(np.float32), "head"))
    nodes += [make("GlobalAveragePool", ["x6"], ["pooled"]), make("Flatten", ["pooled"], ["flat"])]
    nodes += [make("Gemm", ["flat", "head"], ["logits"], "linear")]
    takes = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 16, 16, 3])
    gives = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 8])
    graph = helper.make_graph(nodes, "small", [takes], [gives], tensors)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), tmp_path / "full.onnx"
    )
    images = GraphImages(rng.integers(0, 256, (32, 4, 4, 3), np.uint8).repeat(4, axis=1).repeat(4, axis=2))
    prepared = qdq.prepare(tmp_path / "full.onnx", tmp_path / "prepared.onnx")
    plain = QdqQuantiser(prepared, qdq.U8S7)
    exact = held_out.run_logits(prepared, images)

    def error(quantiser, histograms, name):
        limits = {tensor: (found.low, found.high) for tensor, found in histograms.items()}
        path = quantiser.quantise(limits, tmp_path / name)
        return np.abs(held_out.run_logits(path, images) - exact).mean()

    before = error(plain, ranges.measure(prepared, images, tmp_path, qdq.OPERATORS), "plain")
    after = {one.way: error(one.quantiser, one.histograms, one.way) for one in plain.equalised(images, tmp_path)}
    assert list(after) == ["inputs", "weights"]
    assert after["inputs"] < 0.9 * min(before, after["weights"]), (before, after)
