"""Layers that are left in float among int8 ones, and how they stay so.

ONNX Runtime's optimiser (`WeightBiasQuantization`) looks for convolutions and matrix products between a
DequantizeLinear and a QuantizeLinear. Where the weights are float it rounds them itself, with one scale for the whole
tensor: what was left in float because it suits 8 bits least comes out worse than it was. It asks that what the layer
takes has one scale. Here that scale is written once for each channel, which means the same and is let alone.
"""

from collections.abc import Iterable
from typing import Any

_CHANNELS = 1  # axis of what a layer takes: (N, C, ...) and (N, K)


def keep_in_float(graph: Any, names: Iterable[str]) -> None:
    """Give each of the layers a DequantizeLinear of its own, with a scale for each channel."""
    from onnx import helper, numpy_helper

    spared = set(names)
    constants = {tensor.name: tensor for tensor in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    for layer in [node for node in graph.node if node.name in spared]:
        source = producers.get(layer.input[0])
        weight = constants.get(layer.input[1]) if len(layer.input) > 1 else None
        if source is None or source.op_type != "DequantizeLinear" or weight is None:
            continue
        channels = _channels_taken(layer, tuple(weight.dims))
        inputs = [source.input[0]]
        for name in source.input[1:]:
            value = numpy_helper.to_array(constants[name])
            if value.size != 1:
                break  # it has a scale for each already
            inputs.append(f"{layer.name}_{name}_by_channel")
            graph.initializer.append(numpy_helper.from_array(value.ravel().repeat(channels), inputs[-1]))
        else:
            own = f"{layer.name}_taken_in_float"
            layer.input[0] = own
            place = [node.name for node in graph.node].index(layer.name)
            graph.node.insert(place, helper.make_node("DequantizeLinear", inputs, [own], own, axis=_CHANNELS))
    _drop_unread(graph)


def _drop_unread(graph: Any) -> None:
    """Remove each DequantizeLinear that nothing reads any more."""
    read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    for node in [node for node in graph.node if node.op_type == "DequantizeLinear" and node.output[0] not in read]:
        graph.node.remove(node)


def _channels_taken(layer: Any, weight: tuple[int, ...]) -> int:
    set_ = {attribute.name: attribute.i for attribute in layer.attribute}
    if layer.op_type == "Conv":
        return weight[1] * set_.get("group", 1)
    return weight[1] if set_.get("transB") else weight[0]
