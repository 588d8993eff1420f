"""What is done to an ONNX graph before and after its quantisation: names, the normalisation of pixels, the logits."""

from typing import Any

HEAVY = ("Conv", "Gemm", "MatMul")
_MODEL, _WEIGHT = "model.", ".weight"  # around a module's name in the name of its weights


def around(graph: Any) -> set[str]:
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


def name_nodes(graph: Any) -> None:
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


def normalise_at_once(graph: Any) -> None:
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


def logits_in_float(graph: Any) -> None:
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
