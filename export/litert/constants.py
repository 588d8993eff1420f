"""In either environment: the layers of a .tflite file, and the weights and biases that they read."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
DATA, WEIGHTS, BIAS = 0, 1, 2  # places among what a layer takes
_LEFT_OUT = -1


def shifted(source: str, shifts: Mapping[str, Sequence[float]]) -> bytearray:
    """The file with each layer's shift, (O,) by layer, taken from its bias; a layer without a bias gets one."""
    from ai_edge_litert.tools import flatbuffer_utils as tools

    model = tools.read_model(source)
    layers = layers_of(model)
    for name, shift in shifts.items():
        layer = layers[name]
        taken = [*layer.inputs, _LEFT_OUT][: BIAS + 1]
        old = 0.0 if taken[BIAS] == _LEFT_OUT else constant(model, taken[BIAS])
        new = np.asarray(old - np.asarray(shift), np.float32)
        if taken[BIAS] == _LEFT_OUT or _is_shared(model, taken[BIAS]):
            taken[BIAS] = add_constant(model, f"{name}_corrected_bias", new)
            layer.inputs = taken
        else:
            model.buffers[_graph(model).tensors[taken[BIAS]].buffer].data = new.view(np.uint8)
    made: bytearray = tools.convert_object_to_bytearray(model)
    return made


def layers_of(model: Any) -> dict[str, Any]:
    """The operators with weights of the main graph, by the names of their results."""
    from ai_edge_litert.tools import flatbuffer_utils as tools

    tensors = _graph(model).tensors
    return {
        tensors[operator.outputs[0]].name.decode(): operator
        for operator in _graph(model).operators
        if tools.opcode_to_name(model, operator.opcodeIndex) in LAYERS
    }


def constant(model: Any, place: int, kind: type[np.generic] = np.float32) -> np.ndarray:
    """The values of a tensor, in its shape; empty where they are computed."""
    tensor = _graph(model).tensors[place]
    data = model.buffers[tensor.buffer].data
    if data is None or not len(data):
        return np.empty(0, kind)
    return np.frombuffer(np.asarray(data, np.uint8).tobytes(), kind).reshape(tensor.shape)


def add_constant(model: Any, name: str, values: np.ndarray) -> int:
    """A new tensor of float32 values; returns its place."""
    from ai_edge_litert import schema_py_generated as schema

    buffer = schema.BufferT()
    buffer.data = np.ascontiguousarray(values, np.float32).view(np.uint8).ravel()
    model.buffers.append(buffer)
    return add_tensor(model, name, values.shape, len(model.buffers) - 1)


def add_tensor(model: Any, name: str, shape: Sequence[int], buffer: int = 0) -> int:
    """A new float32 tensor; returns its place. The first buffer of a file is that of what is computed."""
    from ai_edge_litert import schema_py_generated as schema

    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.buffer, tensor.type = name, list(shape), buffer, schema.TensorType.FLOAT32
    _graph(model).tensors.append(tensor)
    return len(_graph(model).tensors) - 1


def _graph(model: Any) -> Any:
    return model.subgraphs[0]


def _is_shared(model: Any, place: int) -> bool:
    """Whether another operator or tensor has the same values."""
    graph = _graph(model)
    readers = sum(list(operator.inputs).count(place) for operator in graph.operators)
    tensors = itertools.chain.from_iterable(graph.tensors for graph in model.subgraphs)
    return readers > 1 or sum(tensor.buffer == graph.tensors[place].buffer for tensor in tensors) > 1
