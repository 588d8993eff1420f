"""The integer weights that a quantised .tflite file holds, beside the float ones that they stand for."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..litert.constants import WEIGHTS, constant, is_shared, layers_of
from .int8_weights import Int8Weight


def read_weights(source: Path, quantised: Path) -> dict[str, Int8Weight]:
    """By the name of each layer whose weights are in int8, in the order of axes that the file has.

    Args:
        source: a float32 .tflite file.
        quantised: made of it by LiteRT's quantiser.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils as tools

    full, small = tools.read_model(str(source)), tools.read_model(str(quantised))
    rounded, found = layers_of(small), {}
    for name, layer in layers_of(full).items():
        exact = constant(full, layer.inputs[WEIGHTS])
        if name not in rounded or not exact.size:
            continue
        place = rounded[name].inputs[WEIGHTS]
        tensor = small.subgraphs[0].tensors[place]
        if tensor.type != schema.TensorType.INT8:
            continue
        scale, axes = np.asarray(tensor.quantization.scale, np.float32), [1] * exact.ndim
        axes[tensor.quantization.quantizedDimension] = len(scale)
        found[name] = Int8Weight(exact, constant(small, place, np.int8), scale.reshape(axes))
    return found


def write_levels(quantised: Path, levels: Mapping[str, np.ndarray]) -> None:
    """Put other integers, int8 by layer, in the place of a quantised file's own.

    Layers in float stay as they are, and those whose integers something else reads too.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils as tools

    model = tools.read_model(str(quantised))
    for name, layer in layers_of(model).items():
        place = layer.inputs[WEIGHTS]
        tensor = model.subgraphs[0].tensors[place]
        if name in levels and tensor.type == schema.TensorType.INT8 and not is_shared(model, place):
            model.buffers[tensor.buffer].data = np.ascontiguousarray(levels[name]).view(np.uint8).ravel()
    tools.write_model(model, str(quantised))
