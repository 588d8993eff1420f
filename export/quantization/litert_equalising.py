"""Cross-layer equalisation of .tflite files: what `equalising` does to ONNX files."""

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ExportError, one_line
from ..litert.constants import BIAS, DATA, WEIGHTS, bias_of, constant, exchange, kind_of, layers_of
from .equalising import Pair, equalise_weights
from .litert_layers import AXES

_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_HOMOGENEOUS = ("RELU", "LEAKY_RELU", "PAD")  # this one pads with zeros


def equalise(source: Path, out: Path) -> int:
    """As `equalising.equalise`, of a float32 .tflite file.

    Raises:
        ExportError: the file cannot be read or written.
    """
    from ai_edge_litert.tools import flatbuffer_utils as tools

    try:
        model = tools.read_model(str(source))
        layers = layers_of(model)
        axes = {name: AXES[kind_of(model, layer)] for name, layer in layers.items()}
        pairs = find_pairs(model)
        values: dict[str, np.ndarray] = {}
        for name in {name for pair in pairs for name in (pair.weight, pair.then)}:
            weight, bias = constant(model, layers[name].inputs[WEIGHTS]), bias_of(model, layers[name])
            values[name] = weight.transpose(axes[name]).astype(np.float64)
            if bias is not None:
                values[_bias(name)] = bias.astype(np.float64)
        equalise_weights(values, pairs)
        for name, layer in layers.items():
            if name in values:
                exchange(model, layer, WEIGHTS, values[name].transpose(np.argsort(axes[name])))
            if _bias(name) in values:
                exchange(model, layer, BIAS, values[_bias(name)])
        if pairs:
            tools.write_model(model, str(out))
    except Exception as error:  # its exception types are Python's own
        raise ExportError(f"the weights cannot be equalised: {one_line(error)}") from error
    return len(pairs)


def find_pairs(model: Any) -> list[Pair]:
    """The pairs of a file's main graph; weights and biases are named after their layer."""
    graph = model.subgraphs[0]
    convolutions = {
        layer.outputs[0]: name
        for name, layer in layers_of(model).items()
        if kind_of(model, layer) in _CONVOLUTIONS and constant(model, layer.inputs[WEIGHTS]).size
    }
    readers: dict[int, list[Any]] = {}
    for operator in graph.operators:
        for place in operator.inputs:
            readers.setdefault(place, []).append(operator)

    def next_convolution(layer: Any) -> Any | None:
        place = layer.outputs[0]
        while place not in graph.outputs and len(readers.get(place, ())) == 1:
            (reader,) = readers[place]
            if reader.outputs[0] in convolutions:
                return reader if _channels(graph, place) == _channels(graph, layer.outputs[0]) else None
            if kind_of(model, reader) not in _HOMOGENEOUS:
                return None
            place = reader.outputs[0]
        return None

    found = []
    for layer in graph.operators:
        name = convolutions.get(layer.outputs[0])
        then = next_convolution(layer) if name and _is_homogeneous(layer) else None
        if name and then is not None:
            bias = "" if bias_of(model, layer) is None else _bias(name)
            found.append(Pair(name, bias, convolutions[then.outputs[0]], _groups(model, then)))
    return found


def _is_homogeneous(layer: Any) -> bool:
    """Whether what a layer does last is f(s x) = s f(x) for s > 0."""
    from ai_edge_litert.schema_py_generated import ActivationFunctionType

    kinds = (ActivationFunctionType.NONE, ActivationFunctionType.RELU)
    return layer.builtinOptions.fusedActivationFunction in kinds


def _channels(graph: Any, place: int) -> int:
    return int(graph.tensors[place].shape[-1])


def _groups(model: Any, convolution: Any) -> int:
    """Into which it divides the channels that it takes."""
    channels = _channels(model.subgraphs[0], convolution.inputs[DATA])
    if kind_of(model, convolution) == "DEPTHWISE_CONV_2D":
        return channels
    return channels // _channels(model.subgraphs[0], convolution.inputs[WEIGHTS])


def _bias(name: str) -> str:
    return f"{name} bias"
