"""Writes quantised graphs (QDQ: QuantizeLinear and DequantizeLinear around each operator), one flavour per runtime."""

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...runtime.bundle.file_facts import PREFIX
from ..errors import ExportError, one_line
from .float_layers import keep_in_float
from .int8_weights import INT8_LEVELS, LEVELS_OF_7_BITS
from .qdq_graph import HEAVY, around, logits_in_float, name_nodes, normalise_at_once

# The operators that runtimes compute in int8; what only moves values is quantised with its neighbours.
OPERATORS = (
    "Conv", "Gemm", "MatMul", "Add", "Mul", "Clip", "Relu", "LeakyRelu", "Sigmoid", "HardSigmoid", "HardSwish",
    "AveragePool", "GlobalAveragePool", "ReduceMean", "MaxPool", "Concat", "Split", "Reshape", "Transpose", "Flatten",
    "Squeeze", "Unsqueeze", "Slice", "Pad", "Resize",
)  # fmt: skip


@dataclass(frozen=True)
class Flavour:
    """How a runtime wants its graph quantised.

    Attributes:
        name: as in the conversion's name.
        signed: activations int8 around zero instead of uint8 from a zero point.
        per_channel: a scale of its own for each output channel's weights.
        quantised_bias: biases in int32; TensorRT's parser refuses those.
        weight_levels: on each side of zero.
        timed_in: onnxruntime, whose CPU provider judges every flavour; empty where another runtime runs it in the end.
    """

    name: str
    signed: bool
    per_channel: bool = True
    quantised_bias: bool = True
    weight_levels: int = INT8_LEVELS
    timed_in: str = "onnxruntime"


U8S8 = Flavour("u8s8", signed=False)
U8S7 = Flavour("u8s7", signed=False, weight_levels=LEVELS_OF_7_BITS)
S8S8 = Flavour("s8s8", signed=True, quantised_bias=False, timed_in="")


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
        name_nodes(model.graph)
        normalise_at_once(model.graph)
        onnx.save(model, out)
    except Exception as error:  # it raises whatever it meets
        raise ExportError(f"the graph cannot be prepared for int8: {one_line(error)}") from error
    return out


def settle(path: Path) -> None:
    """Bring a quantised file that the tracer wrote into the form of those that are written here."""
    import onnx

    model = onnx.load(path)
    name_nodes(model.graph)
    normalise_at_once(model.graph)
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
        in_float = set(in_float)
        spared = {*in_float, *around(model.graph)}
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
        logits_in_float(quantiser.model.model.graph)
        if not flavour.signed:  # TensorRT knows one scale alone
            keep_in_float(quantiser.model.model.graph, in_float)
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
