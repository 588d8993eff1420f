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
        old = bias_of(model, layer)
        exchange(model, layer, BIAS, (0.0 if old is None else old) - np.asarray(shift))
    made: bytearray = tools.convert_object_to_bytearray(model)
    return made


def exchange(model: Any, layer: Any, at: int, values: np.ndarray) -> None:
    """Let a layer read other values, float32, at one of its places; what else reads the old ones keeps them."""
    values = np.ascontiguousarray(values, np.float32)
    taken = [*layer.inputs, _LEFT_OUT][: max(at + 1, len(layer.inputs))]
    if taken[at] == _LEFT_OUT or is_shared(model, taken[at]):
        name = _graph(model).tensors[layer.outputs[0]].name.decode()
        taken[at] = add_constant(model, f"{name}_own_input_{at + 1}", values)
        layer.inputs = taken
    else:
        model.buffers[_graph(model).tensors[taken[at]].buffer].data = values.view(np.uint8).ravel()


def bias_of(model: Any, layer: Any) -> np.ndarray | None:
    """A layer's bias, float32 (O,); None where it has none."""
    if len(layer.inputs) <= BIAS or layer.inputs[BIAS] == _LEFT_OUT:
        return None
    return constant(model, layer.inputs[BIAS])


def layers_of(model: Any) -> dict[str, Any]:
    """The operators with weights of the main graph, by the names of their results."""
    tensors = _graph(model).tensors
    return {
        tensors[operator.outputs[0]].name.decode(): operator
        for operator in _graph(model).operators
        if kind_of(model, operator) in LAYERS
    }


def kind_of(model: Any, operator: Any) -> str:
    """E.g. "CONV_2D"."""
    from ai_edge_litert.tools import flatbuffer_utils as tools

    return str(tools.opcode_to_name(model, operator.opcodeIndex))


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


def is_shared(model: Any, place: int) -> bool:
    """Whether another operator or tensor has the same values."""
    graph = _graph(model)
    readers = sum(list(operator.inputs).count(place) for operator in graph.operators)
    tensors = itertools.chain.from_iterable(graph.tensors for graph in model.subgraphs)
    return readers > 1 or sum(tensor.buffer == graph.tensors[place].buffer for tensor in tensors) > 1
