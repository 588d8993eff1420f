"""Writes quantised graphs (QDQ: QuantizeLinear and DequantizeLinear around each operator), one flavour per runtime."""

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...runtime.bundle.file_facts import PREFIX
from ..errors import ExportError, one_line
from .int8_weights import INT8_LEVELS, LEVELS_OF_7_BITS

# The operators that runtimes compute in int8; what only moves values is quantised with its neighbours.
OPERATORS = (
    "Conv", "Gemm", "MatMul", "Add", "Mul", "Clip", "Relu", "LeakyRelu", "Sigmoid", "HardSigmoid", "HardSwish",
    "AveragePool", "GlobalAveragePool", "ReduceMean", "MaxPool", "Concat", "Split", "Reshape", "Transpose", "Flatten",
    "Squeeze", "Unsqueeze", "Slice", "Pad", "Resize",
)  # fmt: skip
HEAVY = ("Conv", "Gemm", "MatMul")
_MODEL, _WEIGHT = "model.", ".weight"  # around a module's name in the name of its weights


@dataclass(frozen=True)
class Flavour:
    """How a runtime wants its graph quantised.

    Attributes:
        name: as in the conversion's name.
        signed: activations int8 around zero instead of uint8 from a zero point.
        per_channel: a scale of its own for each output channel's weights.
        quantised_bias: biases in int32; TensorRT's parser refuses those.
        weight_levels: on each side of zero.
        timed_here: onnxruntime's CPU provider, which judges every flavour, is also what runs it in the end.
    """

    name: str
    signed: bool
    per_channel: bool = True
    quantised_bias: bool = True
    weight_levels: int = INT8_LEVELS
    timed_here: bool = True


U8S8 = Flavour("u8s8", signed=False)
U8S7 = Flavour("u8s7", signed=False, weight_levels=LEVELS_OF_7_BITS)
S8S8 = Flavour("s8s8", signed=True, quantised_bias=False, timed_here=False)


def prepare(source: Path, out: Path) -> Path:
    """A float32 graph with shapes known, BatchNorms folded and a name for each node, from `source` into `out`.

    Raises:
        ExportError: onnxruntime cannot prepare it.
    """
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    try:
        quant_pre_process(str(source), str(out), skip_symbolic_shape=True)
        model = onnx.load(out)
        _name_nodes(model.graph)
        _normalise_at_once(model.graph)
        onnx.save(model, out)
    except Exception as error:  # it raises whatever it meets
        raise ExportError(f"the graph cannot be prepared for int8: {one_line(error)}") from error
    return out


def settle(path: Path) -> None:
    """Bring a quantised file that the tracer wrote into the form of those that are written here."""
    import onnx

    model = onnx.load(path)
    _name_nodes(model.graph)
    _normalise_at_once(model.graph)
    onnx.save(model, path)


def heavy_layers(prepared: Path) -> list[str]:
    """Names of the nodes with nearly all of the arithmetic, in the graph's order."""
    import onnx

    graph = onnx.load(prepared, load_external_data=False).graph
    constants = {tensor.name for tensor in graph.initializer}
    return [node.name for node in graph.node if node.op_type in HEAVY and constants.intersection(node.input)]


def quantise(
    prepared: Path,
    ranges: Mapping[str, tuple[float, float]],
    flavour: Flavour,
    out: Path,
    *,
    in_float: Iterable[str] = (),
    only: Iterable[str] = (),
) -> Path:
    """Write the quantised graph.

    Args:
        prepared: from `prepare`.
        ranges: (low, high) of each tensor.
        flavour: the runtime's.
        out: of the .onnx file.
        in_float: nodes that are not quantised.
        only: if given, no other node is quantised.

    Raises:
        ExportError: the quantiser refuses the graph.
    """
    import onnx
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    from onnxruntime.quantization.quant_utils import load_model_with_shape_infer

    try:
        model = load_model_with_shape_infer(prepared)
        spared = {*in_float, *_around(model.graph)}
        data = {name: _tensor_data(TensorData, low, high) for name, (low, high) in ranges.items()}
        quantiser = QDQQuantizer(
            model,
            per_channel=flavour.per_channel,
            reduce_range=flavour.weight_levels < INT8_LEVELS,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QInt8 if flavour.signed else QuantType.QUInt8,
            tensors_range=TensorsData(CalibrationMethod.MinMax, data),
            nodes_to_quantize=list(only),
            nodes_to_exclude=sorted(spared),
            op_types_to_quantize=list(OPERATORS),
            extra_options={
                "ActivationSymmetric": flavour.signed,
                "WeightSymmetric": True,
                "QuantizeBias": flavour.quantised_bias,
            },
        )
        with _quiet():
            quantiser.quantize_model()
        _logits_in_float(quantiser.model.model.graph)
        quantiser.model.topological_sort()  # the quantiser appends its nodes, and not every reader sorts
        result = quantiser.model.model
        facts = {entry.key: entry.value for entry in result.metadata_props if entry.key.startswith(PREFIX)}
        for entry in (result, result.graph, *result.graph.node):
            entry.ClearField("metadata_props")
            entry.ClearField("doc_string")
        onnx.helper.set_model_props(result, facts)
        onnx.save(result, out)
    except Exception as error:  # the quantiser raises whatever it meets
        raise ExportError(f"the graph cannot be quantised ({flavour.name}): {one_line(error)}") from error
    return out


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leave out a line for each bias of a channel without weights, which is clipped; what it costs is judged."""

    def is_wanted(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("Quantized bias")

    root = logging.getLogger()  # the quantiser has no logger of its own
    root.addFilter(is_wanted)
    try:
        yield
    finally:
        root.removeFilter(is_wanted)


def _tensor_data(kind: type, low: float, high: float) -> object:
    import numpy as np

    return kind(lowest=np.array(low, np.float32), highest=np.array(high, np.float32))


def _around(graph: Any) -> set[str]:
    """Nodes before the first and after the last heavy one, and what the logits do not need.

    Pixels are normalised, probabilities and optional outputs made in float.
    """
    needed = _needed(graph, "logits")
    heavy = [index for index, node in enumerate(needed) if node.op_type in HEAVY]
    if not heavy:
        return set()
    return {node.name for node in graph.node} - {node.name for node in needed[heavy[0] : heavy[-1] + 1]}


def _needed(graph: Any, output: str) -> list[Any]:
    """The nodes that an output depends on, in the graph's order."""
    wanted, found = {output}, []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            found.append(node)
    return found[::-1]


def _name_nodes(graph: Any) -> None:
    """Give layers the name of the module that their weights are of, and others without a name of their own one."""
    constants = {tensor.name for tensor in graph.initializer}
    taken: set[str] = set()
    for number, node in enumerate(graph.node):
        weight = next((name for name in node.input[1:2] if name in constants and name.endswith(_WEIGHT)), "")
        if node.op_type in HEAVY and weight:
            node.name = weight.removesuffix(_WEIGHT).removeprefix(_MODEL)
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{number}_of_graph"
        taken.add(node.name)


def _normalise_at_once(graph: Any) -> None:
    """The normalisation of pixels, scale * x - shift, as one BatchNormalization, which computes the same.

    Around int8 convolutions onnxruntime moves the channels last, before the normalisation too; multiplying and
    subtracting three channels there takes as long as a quarter of MobileNetV2.
    """
    import numpy as np
    from onnx import helper, numpy_helper

    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    users: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    for at, first in enumerate(graph.node):
        if first.op_type in HEAVY:
            return
        then = users.get(first.output[0], [])
        if first.op_type != "Mul" or [node.op_type for node in then] != ["Sub"]:
            continue
        second = then[0]
        scale, shift = constants.get(first.input[1]), constants.get(second.input[1])
        if scale is None or shift is None or not scale.shape == shift.shape == (1, scale.size, 1, 1):
            continue
        scale = scale.ravel()
        values = (scale, -shift.ravel(), np.zeros_like(scale), np.ones_like(scale))
        names = [f"{first.name}_normalisation_{what}" for what in ("scale", "bias", "mean", "variance")]
        graph.initializer.extend(map(numpy_helper.from_array, values, names))
        inputs, outputs = [first.input[0], *names], list(second.output)
        merged = helper.make_node("BatchNormalization", inputs, outputs, f"{first.name}_normalisation", epsilon=0.0)
        graph.node.insert(at, merged)
        graph.node.remove(first)
        graph.node.remove(second)
        _drop_unused(graph)
        return


def _drop_unused(graph: Any) -> None:
    """Remove constants that no node reads."""
    used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)


def _logits_in_float(graph: Any) -> None:
    """Undo the last rounding of the logits: 256 levels for all classes would tie images that they rank."""
    producers = {name: node for node in graph.node for name in node.output}
    for last in [node for node in graph.node if node.op_type == "DequantizeLinear" and node.output[0] == "logits"]:
        first = producers.get(last.input[0])
        if first is None or first.op_type != "QuantizeLinear" or first.input[0] not in producers:
            continue
        inner, name = first.input[0], last.output[0]
        for node in graph.node:
            for names in (node.input, node.output):
                for at, found in enumerate(names):
                    if found == inner:
                        names[at] = name
        graph.node.remove(first)
        graph.node.remove(last)
    _drop_unused(graph)
