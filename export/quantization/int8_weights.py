"""The integer weights that a quantised graph holds, beside the float ones that they stand for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LAYERS = ("Conv", "Gemm")
INT8_LEVELS = 127  # on each side of zero
LEVELS_OF_7_BITS = 64  # as onnxruntime has them


@dataclass(frozen=True)
class Int8Weight:
    """Of one layer.

    Attributes:
        exact: float32, as the float graph has it.
        levels: int8, of the same shape.
        scale: float32, of a shape that stretches over them.
    """

    exact: np.ndarray
    levels: np.ndarray
    scale: np.ndarray

    @property
    def error(self) -> np.ndarray:
        """What rounding adds, float32."""
        return self.levels.astype(np.float32) * self.scale - self.exact


def read_weights(prepared: Path, quantised: Path) -> dict[str, Int8Weight]:
    """By the name of each layer that is in int8.

    Args:
        prepared: from `qdq.prepare`.
        quantised: made of it by `qdq.quantise`.
    """
    import onnx
    from onnx import numpy_helper

    full, small = onnx.load(prepared).graph, onnx.load(quantised).graph
    weights = {tensor.name: tensor for tensor in full.initializer}
    stored = {tensor.name: tensor for tensor in small.initializer}
    producers = {name: node for node in small.node for name in node.output}
    rounded = {node.name: producers.get(node.input[1]) for node in small.node if node.op_type in LAYERS}
    found = {}
    for node in full.node:
        source = rounded.get(node.name)
        if source is None or source.op_type != "DequantizeLinear" or node.input[1] not in weights:
            continue
        levels, scale = (numpy_helper.to_array(stored[name]) for name in source.input[:2])
        axis = next((attribute.i for attribute in source.attribute if attribute.name == "axis"), 1)
        if scale.ndim:
            scale = np.expand_dims(scale, [at for at in range(levels.ndim) if at != axis % levels.ndim])
        found[node.name] = Int8Weight(numpy_helper.to_array(weights[node.input[1]]), levels, scale)
    return found


def write_levels(quantised: Path, levels: Mapping[str, np.ndarray]) -> None:
    """Put other integers, int8 by layer, in the place of a quantised graph's own; layers in float stay as they are."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(quantised)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    producers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        source = producers.get(node.input[1]) if node.name in levels else None
        if source is not None and source.op_type == "DequantizeLinear":
            name = source.input[0]
            stored[name].CopyFrom(numpy_helper.from_array(levels[node.name], name))
    onnx.save(model, quantised)
