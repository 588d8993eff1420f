"""A layer that is left in float stays so in ONNX Runtime, whose optimiser would round its weights with one scale."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgedistill.export.quantization import held_out, qdq
from edgedistill.export.quantization.float_layers import keep_in_float

CHANNELS = 4


def between_roundings(kind, **options):
    """DequantizeLinear, a layer with float weights that one scale ruins, QuantizeLinear."""
    rng = np.random.default_rng(0)
    shapes = {"Conv": (6, 2, 3, 3), "Gemm": (6, CHANNELS) if options.get("transB") else (CHANNELS, 6)}
    weight = rng.normal(size=shapes[kind])
    large = [0, 2] if kind == "Conv" else [0]  # channels of what is taken; in two groups there are two
    weight[0 if kind == "Gemm" and not options.get("transB") else (slice(None), 0)] *= 1000  # the others round to 0
    numbers = {"weight": weight, "bias": rng.normal(size=6), "scale": np.array(0.02), "given": np.array(0.1)}
    tensors = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in numbers.items()]
    tensors.append(numpy_helper.from_array(np.array(100, np.uint8), "zero"))
    nodes = [
        helper.make_node("DequantizeLinear", ["levels", "scale", "zero"], ["taken"], "dequantise"),
        helper.make_node(kind, ["taken", "weight", "bias"], ["sums"], "layer", **options),
        helper.make_node("QuantizeLinear", ["sums", "given", "zero"], ["rounded"], "quantise"),
        helper.make_node("DequantizeLinear", ["rounded", "given", "zero"], ["logits"], "again"),
    ]
    shape = [3, CHANNELS, 5, 5] if kind == "Conv" else [3, CHANNELS]
    takes = helper.make_tensor_value_info("levels", TensorProto.UINT8, shape)
    gives = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [3, 6, 3, 3] if kind == "Conv" else [3, 6])
    graph = helper.make_graph(nodes, "one layer", [takes], [gives], tensors)
    levels = rng.integers(0, 256, shape, np.uint8)
    levels[:, large] = 100  # the large weights meet zeros
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), levels


def computed(model, levels, path, level="ORT_ENABLE_ALL"):
    """(logits, operators of the graph that runs)."""
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3  # that the optimised graph is for this machine
    settings.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    settings.optimized_model_filepath = str(path)
    session = onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"levels": levels})
    return logits, {node.op_type for node in onnx.load(path).graph.node}


@pytest.mark.parametrize(
    ("kind", "options"), [("Conv", {"group": 2}), ("Gemm", {"transB": 1}), ("Gemm", {})], ids=["conv", "turned", "gemm"]
)
def test_its_weights_are_not_rounded(kind, options, tmp_path):
    model, levels = between_roundings(kind, **options)
    exact, _ = computed(model, levels, tmp_path / "exact.onnx", "ORT_DISABLE_ALL")
    ruined, operators = computed(model, levels, tmp_path / "before.onnx")
    assert operators & {"QLinearConv", "QGemm"}, "ONNX Runtime leaves float weights alone: this is needed no more"
    assert np.abs(ruined - exact).max() > 1
    keep_in_float(model.graph, ["layer"])
    onnx.checker.check_model(model, full_check=True)
    assert sum(node.op_type == "DequantizeLinear" for node in model.graph.node) == 2
    logits, operators = computed(model, levels, tmp_path / "after.onnx")
    assert not operators & {"QLinearConv", "QGemm"}
    np.testing.assert_allclose(logits, exact, atol=0.101)  # a level, where a sum is half-way


def test_what_others_take_keeps_its_one_scale(measured, tmp_path):
    prepared, histograms, images, _ = measured
    full = {name: (h.low, h.high) for name, h in histograms.items()}
    path = qdq.quantise(prepared, full, qdq.U8S7, tmp_path / "some.onnx", in_float=["conv3", "conv6"])
    graph = onnx.load(path).graph
    scales = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    takes = {node.name: node.input[0] for node in graph.node if node.op_type == "Conv"}
    by_output = {node.output[0]: node for node in graph.node}
    sizes = {name: scales[by_output[tensor].input[1]].size for name, tensor in takes.items() if name != "conv0"}
    assert sizes == {f"conv{at}": 8 if at in (3, 6) else 1 for at in range(1, 8)}
    one = qdq.quantise(prepared, full, qdq.S8S8, tmp_path / "signed.onnx", in_float=["conv3"])
    assert "conv3_taken_in_float" not in {node.name for node in onnx.load(one).graph.node}
    exact, found = (held_out.run_logits(file, images.held_out) for file in (prepared, path))
    assert np.abs(found - exact).mean() < 0.05 * exact.std()
