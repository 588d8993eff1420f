"""Cross-layer equalisation: scale moves between neighbouring convolutions until one range fits the channels of both.

Source: M. Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, ICCV 2019, section 4.1.
Only where it changes nothing that the float network computes: a ReLU6 between two convolutions would need a cap for
each channel, which no runtime computes in int8, and a ReLU in its place is another network.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ExportError, one_line

_HOMOGENEOUS = ("Relu", "LeakyRelu")  # f(s x) = s f(x) for s > 0
_SWEEPS = 100
_CONVERGED = 0.01  # no scale changes by more in a sweep


@dataclass(frozen=True)
class Pair:
    """Two convolutions; what the second takes is what the first gives, through nothing that is not homogeneous.

    Attributes:
        weight: name of the first's weights (O, I / groups, ...).
        bias: of its bias; empty where it has none.
        then: of the second's weights.
        groups: of the second.
    """

    weight: str
    bias: str
    then: str
    groups: int


def equalise(prepared: Path, out: Path) -> int:
    """Write the graph with scale moved from the first of each pair to the second.

    Args:
        prepared: from `qdq.prepare`.
        out: of the .onnx file.

    Returns:
        the number of pairs; 0 where nothing was written.

    Raises:
        ExportError: the graph cannot be read or written.
    """
    import onnx
    from onnx import numpy_helper

    try:
        model = onnx.load(prepared)
        tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        pairs = find_pairs(model.graph)
        names = {name for pair in pairs for name in (pair.weight, pair.bias, pair.then) if name}
        values = {name: numpy_helper.to_array(tensors[name]).astype(np.float64) for name in names}
        equalise_weights(values, pairs)
        for name, value in values.items():
            tensors[name].CopyFrom(numpy_helper.from_array(value.astype(np.float32), name))
        if pairs:
            onnx.save(model, out)
    except Exception as error:  # onnx raises types of its own
        raise ExportError(f"the weights cannot be equalised: {one_line(error)}") from error
    return len(pairs)


def find_pairs(graph: Any) -> list[Pair]:
    """The pairs of an ONNX graph whose weights nothing else reads."""
    constants = {tensor.name for tensor in graph.initializer}
    outputs = {output.name for output in graph.output}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)

    def is_own_convolution(node: Any) -> bool:
        own = (name for name in node.input[1:] if name)
        return node.op_type == "Conv" and all(name in constants and len(readers[name]) == 1 for name in own)

    def next_convolution(node: Any) -> Any | None:
        tensor = node.output[0]
        while tensor not in outputs and len(readers.get(tensor, ())) == 1:
            (reader,) = readers[tensor]
            if is_own_convolution(reader):
                return reader
            if reader.op_type not in _HOMOGENEOUS:
                return None
            tensor = reader.output[0]
        return None

    found = ((node, next_convolution(node)) for node in graph.node if is_own_convolution(node))
    return [
        Pair(first.input[1], first.input[2] if len(first.input) > 2 else "", second.input[1], _groups(second))
        for first, second in found
        if second is not None
    ]


def equalise_weights(values: dict[str, np.ndarray], pairs: Sequence[Pair]) -> None:
    """Exchange arrays of `values`, float64 by name, for equalised ones; a channel that is zero on a side is left.

    s_i = sqrt(r1_i / r2_i) moves from the first of each pair to the second, r1_i and r2_i being the largest |weight|
    that gives and that takes channel i. The pairs are gone through until nothing changes, which for a depthwise
    convolution between two others is the paper's form for three layers.
    """
    largest = {name: np.abs(values[name]).reshape(*values[name].shape[:2], -1).max(axis=2) for name in _weights(pairs)}
    scales = [np.ones(len(values[pair.weight])) for pair in pairs]
    for _ in range(_SWEEPS):
        changed = 0.0
        for at, pair in enumerate(pairs):
            given = largest[pair.weight].max(axis=1)
            taken = by_input(largest[pair.then], pair.groups).max(axis=(1, 3)).ravel()
            alive = (given > 0) & (taken > 0)
            scale = np.ones_like(given)
            scale[alive] = np.sqrt(given[alive] / taken[alive])
            _move(largest, pair, scale)
            scales[at] *= scale
            changed = max(changed, float(np.abs(scale - 1.0).max()))
        if changed < _CONVERGED:
            break
    for pair, scale in zip(pairs, scales, strict=True):
        _move(values, pair, scale)
        if pair.bias:
            values[pair.bias] = values[pair.bias] / scale


def by_input(weight: np.ndarray, groups: int) -> np.ndarray:
    """Weights (O, I / groups, ...) as (groups, O / groups, I / groups, taps)."""
    return weight.reshape(groups, len(weight) // groups, weight.shape[1], -1)


def _weights(pairs: Sequence[Pair]) -> set[str]:
    return {name for pair in pairs for name in (pair.weight, pair.then)}


def _move(values: dict[str, np.ndarray], pair: Pair, scale: np.ndarray) -> None:
    """Divide what gives each channel by its scale, (C,), and multiply what takes it."""
    first, second = values[pair.weight], values[pair.then]
    values[pair.weight] = first / scale.reshape(-1, *[1] * (first.ndim - 1))
    scaled = by_input(second, pair.groups) * scale.reshape(pair.groups, 1, -1, 1)
    values[pair.then] = scaled.reshape(second.shape)


def _groups(convolution: Any) -> int:
    return next((attribute.i for attribute in convolution.attribute if attribute.name == "group"), 1)
