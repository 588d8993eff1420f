"""Bias correction against sums written out, and what it saves."""

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from small_network import LAYERS

from edgedistill.export.quantization import held_out, qdq
from edgedistill.export.quantization.bias_correction import correct_biases, expected_shifts, weight_errors


@pytest.fixture(scope="module")
def rounded(measured, tmp_path_factory):
    """(prepared, everything that was seen as ranges, the int8 graph, errors of its weights)."""
    prepared, histograms, _, _ = measured
    everything = {name: (h.low, h.high) for name, h in histograms.items()}
    path = qdq.quantise(prepared, everything, qdq.U8S8, tmp_path_factory.mktemp("rounded") / "int8.onnx")
    return prepared, everything, path, weight_errors(prepared, path)


def test_errors_are_those_of_rounding_to_127_levels_per_channel(rounded):
    prepared, _, _, errors = rounded
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(prepared).graph.initializer}
    assert sorted(errors) == sorted(qdq.heavy_layers(prepared))
    for layer, weight, axis in (("conv0", "w0", 0), ("conv7", "w7", 0), ("linear", "head", 1)):
        value = weights[weight]
        scale = np.abs(value).max(axis=tuple(at for at in range(value.ndim) if at != axis), keepdims=True) / 127
        np.testing.assert_allclose(errors[layer], np.round(value / scale) * scale - value, atol=1e-6)


def test_a_layer_in_float_has_no_error(rounded, tmp_path):
    prepared, everything, _, errors = rounded
    path = qdq.quantise(prepared, everything, qdq.U8S8, tmp_path / "int8.onnx", in_float=["conv3", "linear"])
    assert set(errors) - set(weight_errors(prepared, path)) == {"conv3", "linear"}


def test_a_shift_is_the_mean_of_what_the_errors_add(rounded, measured, tmp_path):
    prepared, _, _, errors = rounded
    images = measured[2].ranges
    shifts = expected_shifts(prepared, errors, images, tmp_path)
    model = onnx.load(prepared)
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in ("x3", "flat"))
    onnx.save(model, tmp_path / "inner.onnx")
    inner = list(held_out.run(tmp_path / "inner.onnx", images, ["x3", "flat"]))
    maps, pooled = (np.concatenate([batch[at] for batch in inner]) for at in range(2))
    added = torch.nn.functional.conv2d(torch.from_numpy(maps), torch.from_numpy(errors["conv3"]), padding=1)
    np.testing.assert_allclose(shifts["conv3"], added.mean((0, 2, 3)), atol=1e-6)
    np.testing.assert_allclose(shifts["linear"], (pooled @ errors["linear"]).mean(0), atol=1e-5)


def test_corrected_biases_take_the_shift_back(rounded, measured, tmp_path):
    prepared, everything, path, errors = rounded
    images = measured[2]
    shifts = expected_shifts(prepared, errors, images.ranges, tmp_path)
    corrected = correct_biases(prepared, shifts, tmp_path / "corrected.onnx")
    again = qdq.quantise(corrected, everything, qdq.U8S8, tmp_path / "again.onnx")
    onnx.checker.check_model(again, full_check=True)
    expected = held_out.run_logits(prepared, images.held_out)
    before, after = (held_out.run_logits(graph, images.held_out) - expected for graph in (path, again))
    assert np.abs(after.mean(axis=0)).mean() < 0.5 * np.abs(before.mean(axis=0)).mean()
    assert np.abs(after).mean() < np.abs(before).mean()
    old, new = (onnx.load(graph).graph for graph in (prepared, corrected))
    biases = [{t.name: numpy_helper.to_array(t) for t in graph.initializer} for graph in (old, new)]
    for layer in ("conv5", "linear"):  # the linear layer had none
        names = [next(node.input[2:] for node in graph.node if node.name == layer) for graph in (old, new)]
        own = biases[0][names[0][0]] if names[0] else 0.0
        np.testing.assert_allclose(biases[1][names[1][0]], own - shifts[layer], rtol=1e-5, atol=1e-7)
    assert len(shifts) == LAYERS
