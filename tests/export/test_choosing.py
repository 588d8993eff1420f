"""The best int8 graph: what is kept is better by more than noise, and layers go back to float where a gate asks."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from small_network import LAYERS

from edgedistill.export.errors import ExportError
from edgedistill.export.quantization import (
    choosing,
    held_out,
    latency,
    layers,
    qdq,
    qdq_quantiser,
    recovery,
)
from edgedistill.export.quantization.products import flavour_here
from edgedistill.export.quantization.qdq_quantiser import QdqQuantiser
from edgedistill.export.quantization.trials import Candidate, Trial, best_of, improves
from edgedistill.runtime import metrics
from edgedistill.runtime.interval import Interval
from edgedistill.runtime.targets import Gates


@pytest.fixture(scope="module")
def chosen(measured, tmp_path_factory):
    """Chosen without a gate."""
    prepared, histograms, images, _ = measured
    scratch = tmp_path_factory.mktemp("chosen")
    return choosing.choose(QdqQuantiser(prepared, qdq.U8S8), histograms, images, limits=Gates(), scratch=scratch)


def make_trial(measured, logits):
    """As if a graph had given these logits."""
    prepared, _, images, _ = measured
    judge = held_out.Judge.of(held_out.run_logits(prepared, images.held_out), images.targets, 0.95)
    left_out = judge.left_out(logits)
    candidate = Candidate(QdqQuantiser(prepared, qdq.U8S8), "minmax", {})
    return Trial(prepared, candidate, judge.drop(left_out), judge.errors(logits), left_out)


@pytest.mark.parametrize(
    ("drop", "met"),
    [
        (Interval(estimate=0.3, low=0.0, high=0.7, confidence=0.95), False),  # perhaps, and perhaps not
        (Interval(estimate=0.3, low=0.1, high=0.5, confidence=0.95), True),
        (Interval(estimate=-1.0, low=-2.0, high=-0.1, confidence=0.95), True),
        (Interval(estimate=0.3, low=None, high=None, confidence=0.95), False),
        (None, False),
    ],
)
def test_a_gate_is_met_where_the_whole_interval_is_within_it(drop, met):
    assert Trial("unread", None, drop, np.zeros(2)).within(0.5) is met


def test_better_is_what_is_nearer_by_more_than_noise(measured):
    prepared, _, images, _ = measured
    exact, rng = held_out.run_logits(prepared, images.held_out), np.random.default_rng(0)
    off = make_trial(measured, exact + rng.normal(0, 0.2, exact.shape).astype(np.float32))
    nearer = make_trial(measured, exact + rng.normal(0, 0.1, exact.shape).astype(np.float32))
    as_far = make_trial(measured, exact + rng.normal(0, 0.198, exact.shape).astype(np.float32))
    assert improves(nearer, off, 0.95)
    assert not improves(off, nearer, 0.95)
    assert not improves(as_far, off, 0.95)
    assert not improves(off, as_far, 0.95)
    assert best_of([off, nearer, as_far], 0.95) is nearer


def test_a_clear_difference_in_map_decides_against_the_logits(measured):
    """Logits that are all shifted rank as before; others are nearer and mixed up."""
    prepared, _, images, _ = measured
    exact = held_out.run_logits(prepared, images.held_out)
    shifted = make_trial(measured, exact + 5 * exact.std())
    mixed = make_trial(measured, np.random.default_rng(0).permutation(exact))
    assert mixed.error < shifted.error
    assert improves(shifted, mixed, 0.95)
    assert not improves(mixed, shifted, 0.95)
    assert best_of([mixed, shifted], 0.95) is shifted


def test_without_a_gate_the_nearest_graph_is_kept(chosen):
    assert chosen.note == "no gate asks for any"
    assert chosen.best.error == min(trial.error for trial in chosen.tried)
    assert chosen.details["calibrators_tried"].count("logits off by") == len(choosing.CALIBRATORS)
    assert chosen.details["bias_correction"].startswith("kept; without it:")
    assert chosen.details["layer_snr"].count(" dB") == 5


def test_layers_are_ranked_by_what_each_alone_costs(measured, tmp_path):
    prepared, histograms, images, scratch = measured
    full = {name: (h.low, h.high) for name, h in histograms.items()}
    some = images.ranges.spread(8)
    ranked = layers.rank_layers(QdqQuantiser(prepared, qdq.U8S8), full, some, scratch)
    names = list(ranked)
    assert sorted(names) == sorted(qdq.heavy_layers(prepared))
    assert len(names) == LAYERS
    expected = held_out.run_logits(prepared, some)
    for name in (names[0], names[4], names[-1]):
        alone = qdq.quantise(prepared, full, qdq.U8S8, tmp_path / "alone.onnx", only=[name])
        off = np.linalg.norm(held_out.run_logits(alone, some) - expected)
        assert ranked[name] == pytest.approx(20 * np.log10(np.linalg.norm(expected) / off), abs=1e-3)
    assert list(ranked.values()) == sorted(ranked.values())


def test_the_noise_of_a_layer_is_that_of_its_output_in_the_whole_int8_graph(measured, tmp_path):
    prepared, histograms, images, scratch = measured
    full = {name: (h.low, h.high) for name, h in histograms.items()}
    path = qdq.quantise(prepared, full, flavour_here(qdq.U8S8)[0], tmp_path / "int8.onnx")
    found = layers.layer_snr(prepared, path, images.held_out, scratch)
    assert sorted(found) == sorted(qdq.heavy_layers(prepared))
    expected, rounded = (held_out.run_logits(graph, images.held_out) for graph in (prepared, path))
    ratio = np.linalg.norm(expected) / np.linalg.norm(rounded - expected)
    assert found["linear"] == pytest.approx(20 * np.log10(ratio), abs=0.5)  # unfused, an odd value rounds the other way
    assert min(found.values()) > 0


def test_layers_go_back_into_float_until_the_gate_is_met(measured, monkeypatch, tmp_path):
    prepared, histograms, images, scratch = measured
    # So few images settle nothing: the interval of the tests' size is pretended to be that of many.
    high = {0: 2.0, 1: 1.5, 2: 0.4}
    monkeypatch.setattr(held_out.Judge, "can_settle", lambda self, limit: True)
    monkeypatch.setattr(Trial, "within", lambda self, limit: high[min(len(self.in_float), 2)] <= limit)
    chosen = choosing.choose(
        QdqQuantiser(prepared, qdq.U8S8), histograms, images, limits=Gates(max_map_drop=0.5), scratch=tmp_path
    )
    assert chosen.note == f"2 of {LAYERS} layers in float"
    best = chosen.best.candidate
    ranked = list(layers.rank_layers(best.quantiser, best.ranges, images.ranges.spread(layers.IMAGES), scratch))
    assert chosen.best.in_float == tuple(ranked[:2])
    assert chosen.details["layers_in_float"] == ", ".join(ranked[:2])
    assert chosen.details["layers_ranked"].startswith(f"{ranked[0]} ")
    assert f"of {LAYERS - 2} pairs of layers" in chosen.details["equalisation"]
    assert "kept" in chosen.details["adaptive_rounding"]
    assert chosen.details["latency_price"].endswith("(onnxruntime, batch 1, at export)")
    written = onnx.load(chosen.best.path).graph
    nodes = {node.name: node for node in written.node}
    made_by = {name: node.op_type for node in nodes.values() for name in node.output}
    assert [made_by.get(nodes[name].input[1]) for name in ranked[:3]] == [None, None, "DequantizeLinear"]
    # What is in float has nothing to correct.
    own = {node.name: node.input[2] for node in onnx.load(best.quantiser.source).graph.node if node.op_type == "Conv"}
    assert [nodes[name].input[2] for name in ranked[:2] if name in own] == [own[n] for n in ranked[:2] if n in own]


def test_the_one_layer_that_int8_ruins_goes_back_into_float(measure_small_network, tmp_path):
    prepared, histograms, images, scratch = measure_small_network(tmp_path, ruined=True)
    limits = Gates(max_map_drop=12.0)
    chosen = choosing.choose(QdqQuantiser(prepared, qdq.U8S8), histograms, images, limits=limits, scratch=scratch)
    assert min(trial.drop.low for trial in chosen.tried) > 50.0  # all images alike
    assert (chosen.best.in_float, chosen.note) == (("linear",), f"1 of {LAYERS} layers in float")
    assert chosen.best.drop.high <= limits.max_map_drop
    exact, shipped = (held_out.run_logits(path, images.held_out) for path in (prepared, chosen.best.path))
    lost = np.subtract(*(metrics.evaluate(logits, images.targets)["mAP"] for logits in (exact, shipped)))
    assert lost == pytest.approx(chosen.best.drop.estimate, abs=1e-6)


def test_equalised_weights_are_kept_where_they_are_better(measured, monkeypatch, tmp_path):
    """In one scale for a whole tensor, channels of different sizes cost most."""
    prepared, histograms, images, _ = measured
    coarse = QdqQuantiser(prepared, qdq.Flavour("per-tensor", signed=False, per_channel=False))
    monkeypatch.setattr(held_out.Judge, "can_settle", lambda self, limit: True)
    monkeypatch.setattr(Trial, "within", lambda self, limit: self.error < limit)
    free = choosing.choose(coarse, histograms, images, limits=Gates(), scratch=tmp_path)
    limits = Gates(max_map_drop=0.9 * free.best.error)
    chosen = choosing.choose(coarse, histograms, images, limits=limits, scratch=tmp_path)
    assert chosen.note == "weights equalised across layers"
    assert chosen.details["equalisation"].startswith("kept, ")
    assert chosen.best.error < limits.max_map_drop
    assert "latency_price" not in chosen.details


def test_weights_are_rounded_adaptively_where_no_other_step_helps(measured, monkeypatch, tmp_path):
    prepared, histograms, images, _ = measured
    monkeypatch.setattr(QdqQuantiser, "equalised", lambda *_: None)
    monkeypatch.setattr(recovery, "improves", lambda *_: True)  # of so few images it is not clear
    coarse = QdqQuantiser(prepared, qdq.Flavour("per-tensor", signed=False, per_channel=False))
    monkeypatch.setattr(held_out.Judge, "can_settle", lambda self, limit: True)
    monkeypatch.setattr(Trial, "within", lambda self, limit: bool(self.candidate.quantiser.levels))
    chosen = choosing.choose(coarse, histograms, images, limits=Gates(max_map_drop=0.5), scratch=tmp_path)
    assert chosen.note == "weights rounded adaptively"
    assert chosen.best.in_float == ()
    assert chosen.details["adaptive_rounding"].startswith("kept; without it: ")
    without = float(chosen.details["adaptive_rounding"].split("logits off by ")[1].split()[0])
    assert chosen.best.error < without


def test_a_step_that_fails_says_so_and_leaves_the_others(measured, monkeypatch, tmp_path):
    prepared, histograms, images, _ = measured

    def refuse(*arguments):
        raise ExportError("no such operator")

    monkeypatch.setitem(choosing.CALIBRATORS, "entropy", lambda histogram: (float("nan"), float("nan")))
    monkeypatch.setattr(qdq_quantiser, "expected_shifts", refuse)
    monkeypatch.setattr(qdq_quantiser, "layer_snr", refuse)
    chosen = choosing.choose(QdqQuantiser(prepared, qdq.U8S8), histograms, images, limits=Gates(), scratch=tmp_path)
    names = [trial.candidate.calibrator for trial in chosen.tried]
    assert names == [name for name in choosing.CALIBRATORS if name != "entropy"]
    assert chosen.details["bias_correction"] == "not kept: no such operator"
    assert chosen.details["layer_snr"] == "not measured: no such operator"


@pytest.mark.parametrize(
    ("labelled", "why"),
    [(True, "60 held-out images cannot show a drop within 0.01 points"), (False, "no held-out image has a label")],
)
def test_where_labels_cannot_judge_the_logits_do_and_no_layer_goes_back(labelled, why, measured, tmp_path):
    """In one scale for a whole tensor, equalised weights bring the logits much nearer."""
    prepared, histograms, images, _ = measured
    targets = images.targets if labelled else np.full_like(images.targets, -1)
    coarse = QdqQuantiser(prepared, qdq.Flavour("per-tensor", signed=False, per_channel=False))
    chosen = choosing.choose(
        coarse, histograms, replace(images, targets=targets), limits=Gates(max_map_drop=0.01), scratch=tmp_path
    )
    assert chosen.note == f"no layers in float: {why}"
    assert ("mAP" in chosen.details["calibrators_tried"]) is labelled
    assert chosen.details["equalisation"].startswith("kept, ")
    assert "kept" in chosen.details["adaptive_rounding"]
    assert "layers_ranked" not in chosen.details
    assert chosen.best.in_float == ()
    assert chosen.best.error < 0.9 * min(trial.error for trial in chosen.tried)


def test_a_loose_gate_is_met_by_equalised_weights_whose_ranges_are_measured_anew(measured, tmp_path):
    """One tensor's range is far too wide, so that in int8 nearly all of its values become 0."""
    prepared, histograms, images, _ = measured
    x4 = replace(histograms["x4"], low=250 * histograms["x4"].low, high=250 * histograms["x4"].high)
    limits = Gates(max_map_drop=12.0)
    chosen = choosing.choose(
        QdqQuantiser(prepared, qdq.U8S8), {**histograms, "x4": x4}, images, limits=limits, scratch=tmp_path
    )
    assert min(trial.drop.estimate for trial in chosen.tried) > limits.max_map_drop
    assert chosen.note == "weights equalised across layers"
    assert chosen.best.drop.high <= limits.max_map_drop
    assert chosen.best.in_float == ()


def test_a_file_takes_as_long_as_itself_and_longer_than_one_that_does_less(measured, tmp_path):
    prepared, _, images, _ = measured
    model = onnx.load(prepared)
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info(first.output[0], onnx.TensorProto.FLOAT, None))
    onnx.save(onnx.utils.Extractor(model).extract_model(["image"], [first.output[0]]), tmp_path / "less.onnx")
    quantiser = QdqQuantiser(prepared, qdq.U8S8)
    whole, less = (quantiser.run_once(path, images.held_out) for path in (prepared, tmp_path / "less.onnx"))
    assert latency.latency_ratio(whole, less) > 1.2
    assert latency.latency_ratio(whole, whole) == pytest.approx(1.0, abs=0.5)
