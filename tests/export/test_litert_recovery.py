"""What accuracy recovery does to .tflite files: weights that are equalised, and rounded so that they make up."""

import functools
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="the extra `litert`")

from ai_edge_litert.tools import flatbuffer_utils as tools

from edgedistill.export.litert.constants import BIAS, WEIGHTS, bias_of, constant, exchange, kind_of, layers_of
from edgedistill.export.quantization import choosing, held_out
from edgedistill.export.quantization.adaptive_rounding import adapt_levels
from edgedistill.export.quantization.calibration import CalibrationImages
from edgedistill.export.quantization.graph_images import GraphImages
from edgedistill.export.quantization.int8_weights import Int8Weight
from edgedistill.export.quantization.litert_equalising import equalise, find_pairs
from edgedistill.export.quantization.litert_layers import AXES, read_layers
from edgedistill.export.quantization.litert_quantiser import LiteRtQuantiser
from edgedistill.export.quantization.litert_ranges import measure
from edgedistill.export.quantization.litert_tensors import inner_values
from edgedistill.export.quantization.litert_weights import read_weights, write_levels
from edgedistill.export.quantization.trials import Trial
from edgedistill.export.toolchains import toolchain_python
from edgedistill.runtime.errors import MissingDependencyError
from edgedistill.runtime.targets import Gates

GOLDEN = Path(__file__).parents[1] / "golden" / "litert"
UNEQUAL = GOLDEN / "unequal.tflite"  # between its convolutions, channels differ by a factor of ten thousand
CAPPED, CAPPED_INT8 = GOLDEN / "convolutions.tflite", GOLDEN / "convolutions.int8.tflite"  # ReLU6


def pictures(count):
    rng = np.random.default_rng(0)
    return GraphImages(rng.integers(0, 256, (count, 4, 4, 3), np.uint8).repeat(4, axis=1).repeat(4, axis=2))


def logits(path, images):
    return LiteRtQuantiser(path, Path()).logits(path, images)


def ranges_of(path, images):
    return {name: (one.low, one.high) for name, one in measure(path, images).items()}


def test_an_equalised_file_computes_the_same_and_its_channels_are_alike(tmp_path):
    images, path = pictures(8), tmp_path / "equalised.tflite"
    assert equalise(UNEQUAL, path) == 4
    expected = logits(UNEQUAL, images)
    np.testing.assert_allclose(logits(path, images), expected, atol=1e-5 * np.ptp(expected))
    before, after = (channel_ranges(source, images) for source in (UNEQUAL, path))
    assert before.max() / before.min() > 1000
    assert after.max() / after.min() < 100


def test_the_ranges_of_an_equalised_file_are_its_own_and_capped_layers_stay_as_they_are(tmp_path):
    images = pictures(8)
    found = LiteRtQuantiser(UNEQUAL, Path()).equalised(images, tmp_path)
    assert found.pairs == 4
    after = channel_ranges(found.quantiser.source, images)
    assert found.histograms["depthwise_conv_2d_1"].high == pytest.approx(after.max(), rel=1e-5)
    assert LiteRtQuantiser(CAPPED, Path()).equalised(images, tmp_path) is None


def channel_ranges(path, images):
    """The largest |value| of each channel behind the depthwise convolution."""
    name = "depthwise_conv_2d_1"
    return np.abs([batch[name][0] for batch in inner_values(path, images, [name])]).max(axis=(0, 1, 2))


def test_a_cap_a_second_reader_and_an_output_keep_their_scale():
    assert find_pairs(tools.read_model(str(CAPPED))) == []
    model = tools.read_model(str(UNEQUAL))
    graph, layers = model.subgraphs[0], layers_of(model)
    pairs = find_pairs(model)
    assert [(pair.weight, pair.then, pair.groups) for pair in pairs] == [
        ("conv_2d_1", "conv_2d_2", 1),
        ("conv_2d_2", "depthwise_conv_2d_1", 8),
        ("depthwise_conv_2d_1", "conv_2d_3", 2),
        ("conv_2d_3", "conv_2d_4", 1),
    ]
    graph.outputs = [*graph.outputs, layers["conv_2d_1"].outputs[0]]
    assert find_pairs(model) == pairs[1:]
    graph.operators.append(next(one for one in graph.operators if one.inputs[0] == layers["conv_2d_3"].outputs[0]))
    assert find_pairs(model) == pairs[1:3]


def test_biases_that_layers_share_are_equalised_apart(tmp_path):
    model, source = tools.read_model(str(UNEQUAL)), tmp_path / "shared.tflite"
    layers, tensors = layers_of(model), model.subgraphs[0].tensors
    for name in ("conv_2d_2", "depthwise_conv_2d_1"):
        tensors[layers[name].inputs[BIAS]].buffer = tensors[layers["conv_2d_1"].inputs[BIAS]].buffer
    tools.write_model(model, str(source))
    images, path = pictures(4), tmp_path / "equalised.tflite"
    assert equalise(source, path) == 4
    expected = logits(source, images)
    np.testing.assert_allclose(logits(path, images), expected, atol=1e-5 * np.ptp(expected))


@pytest.mark.parametrize("source", [UNEQUAL, CAPPED])
def test_patches_and_weights_make_what_each_layer_gives(source):
    """Padded by itself or before it, strided, divided into groups, depthwise, and the matrix product."""
    images, model = pictures(3), tools.read_model(str(source))
    operators = layers_of(model)
    exact = {name: constant(model, layer.inputs[WEIGHTS]) for name, layer in operators.items()}
    weights = {name: type("Weight", (), {"exact": value}) for name, value in exact.items()}
    layers = read_layers(source, weights)
    assert [layer.name for layer in layers] == list(operators)
    names = [name for layer in layers for name in (layer.name, layer.takes)]
    batches = list(inner_values(source, images, names))
    for layer in layers:
        for batch in batches:
            patches = layer.patches(batch[layer.takes], 1000, np.random.default_rng(0))
            sums = np.einsum("gnk,gok->ngo", patches, layer.rows(exact[layer.name]))
            given = sums.reshape(len(sums), -1) + bias_of(model, operators[layer.name])
            fused = operators[layer.name].builtinOptions.fusedActivationFunction
            low, high = {0: (-np.inf, np.inf), 1: (0, np.inf), 3: (0, 6)}[fused]
            expected = batch[layer.name].reshape(len(sums), -1)
            np.testing.assert_allclose(given.clip(low, high), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
        value = exact[layer.name]
        np.testing.assert_array_equal(layer.shaped(layer.rows(value), value.shape), value)


def test_other_levels_are_written_and_layers_in_float_keep_their_weights(tmp_path):
    path = tmp_path / "other.tflite"
    path.write_bytes(CAPPED_INT8.read_bytes())
    before = read_weights(CAPPED, path)
    assert "depthwise_conv_2d_1" not in before
    wanted = {name: -weight.levels for name, weight in before.items() if name != "conv_2d_1"}
    write_levels(path, {**wanted, "depthwise_conv_2d_1": np.zeros((1, 3, 3, 8), np.int8)})
    after = read_weights(CAPPED, path)
    for name, weight in before.items():
        np.testing.assert_array_equal(after[name].levels, wanted.get(name, weight.levels))
        np.testing.assert_array_equal(after[name].scale, weight.scale)
    own, kept = (
        constant(model, layers_of(model)["depthwise_conv_2d_1"].inputs[WEIGHTS])
        for model in map(tools.read_model, (str(CAPPED), str(path)))
    )
    np.testing.assert_array_equal(own, kept)


@pytest.mark.parametrize(("source", "largest"), [(CAPPED, 127), (UNEQUAL, 7)])
def test_levels_that_make_up_for_each_other_bring_the_logits_nearer(source, largest, tmp_path):
    """But for their mean, which bias correction takes back."""
    if source is UNEQUAL:  # whose channels spoil any rounding
        equalise(UNEQUAL, tmp_path / "equalised.tflite")
        source = tmp_path / "equalised.tflite"
    images, weights = pictures(64), nearest_levels(source, largest)
    taken = functools.partial(inner_values, source, images)
    adapted = adapt_levels(read_layers(source, weights), weights, taken, len(images), largest)
    nearest = {name: weight.levels for name, weight in weights.items()}
    exact = logits(source, images)

    def error(levels):
        model = tools.read_model(str(source))
        for name, layer in layers_of(model).items():
            exchange(model, layer, WEIGHTS, levels[name] * weights[name].scale)
        tools.write_model(model, str(tmp_path / "rounded.tflite"))
        return (logits(tmp_path / "rounded.tflite", images) - exact).std(axis=0).mean()

    assert error(adapted) < 0.8 * error(nearest)


def nearest_levels(source, largest):
    model, found = tools.read_model(str(source)), {}
    for name, layer in layers_of(model).items():
        exact, outputs = constant(model, layer.inputs[WEIGHTS]), AXES[kind_of(model, layer)][0]
        others = tuple(axis for axis in range(exact.ndim) if axis != outputs)
        scale = np.abs(exact).max(axis=others, keepdims=True) / largest
        found[name] = Int8Weight(exact, np.rint(exact / scale).astype(np.int8), scale)
    return found


def test_the_noise_of_a_layer_is_that_of_its_numbers_not_of_its_levels(tmp_path):
    quantiser, images = LiteRtQuantiser(CAPPED, Path()), pictures(4)
    found = quantiser.layer_snr(CAPPED_INT8, images, tmp_path)
    assert sorted(found) == sorted(quantiser.layers())
    assert 10 < min(found.values()) < max(found.values()) < 60
    exact, rounded = (logits(path, images) for path in (CAPPED, CAPPED_INT8))
    ratio = np.linalg.norm(exact) / np.linalg.norm(rounded - exact)
    assert found["logits"] == pytest.approx(20 * np.log10(ratio), abs=0.1)


@pytest.fixture
def python():
    try:
        return toolchain_python("litert")
    except MissingDependencyError as error:
        pytest.skip(str(error))


@pytest.mark.slow
def test_what_naive_int8_loses_of_unequal_channels_is_recovered(python, monkeypatch, tmp_path):
    images = pictures(32)
    exact = logits(UNEQUAL, images)
    held = CalibrationImages(images, images, (exact > np.median(exact, axis=0)).astype(np.int8), record=None)
    monkeypatch.setattr(choosing, "CALIBRATORS", {"minmax": choosing.CALIBRATORS["minmax"]})
    monkeypatch.setattr(held_out.Judge, "can_settle", lambda self, limit: True)
    limit = 0.02 * np.ptp(exact)
    monkeypatch.setattr(Trial, "within", lambda self, _: self.error < limit)
    chosen = choosing.choose(
        LiteRtQuantiser(UNEQUAL, python),
        measure(UNEQUAL, images),
        held,
        limits=Gates(max_map_drop=0.5),
        scratch=tmp_path,
    )
    assert chosen.note == "weights equalised across layers"
    assert chosen.details["equalisation"].startswith("kept, of 4 pairs of layers; without it: ")
    assert min(trial.error for trial in chosen.tried) > 5 * chosen.best.error
    assert chosen.details["layer_snr"].count(" dB") == 5
    np.testing.assert_array_equal(logits(chosen.best.path, images).shape, exact.shape)


@pytest.mark.slow
def test_the_file_has_the_levels_that_make_up_and_spared_layers_none(python, tmp_path):
    images, ranges = pictures(16), ranges_of(CAPPED, pictures(16))
    adapted = LiteRtQuantiser(CAPPED, python).rounded_adaptively(ranges, images, tmp_path)
    assert list(adapted.levels) == list(adapted.shifts) == adapted.layers()
    path = adapted.quantise(ranges, tmp_path / "spared", in_float=["conv_2d_2"])
    weights = read_weights(CAPPED, path)
    assert sorted(weights) == sorted(set(adapted.levels) - {"conv_2d_2"})
    for name, weight in weights.items():
        np.testing.assert_array_equal(weight.levels, adapted.levels[name])
        assert 0 < np.abs(weight.levels - weight.exact / weight.scale).max() < 8
    np.testing.assert_allclose(logits(path, images), logits(CAPPED, images), atol=0.05)
