"""Bias correction: rounded weights shift what a layer gives on average, and its bias takes that shift back.

Source: M. Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, ICCV 2019, section 4.2,
E[y] = E[y~] - E[e x] for weights with the error e. The expectation is taken over calibration images instead of being
derived from BatchNorms. The inputs x are those of the float network: no layer then takes back what another already did,
and one run corrects all layers. (Taking all layers' total shifts at once, from one run in int8, corrects what a first
layer did in each later one too: a MobileNetV2 lost 20 points of mAP by it.)
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ExportError, one_line
from .graph_images import GraphImages
from .held_out import run
from .int8_weights import read_weights


def weight_errors(prepared: Path, quantised: Path) -> dict[str, np.ndarray]:
    """What rounding adds to the weights, float32 in their own shape, by the name of each layer that is in int8.

    Args:
        prepared: from `qdq.prepare`.
        quantised: made of it by `qdq.quantise`.
    """
    return {name: weight.error for name, weight in read_weights(prepared, quantised).items()}


def expected_shifts(
    prepared: Path, errors: Mapping[str, np.ndarray], images: GraphImages, scratch: Path
) -> dict[str, np.ndarray]:
    """What those errors add to each layer's output on average over images and places: float64 (O,) by layer.

    Beside each layer the graph gets another one, whose weights are the errors.

    Raises:
        ExportError: the graph cannot be run so.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    try:
        model = onnx.load(prepared)
        graph, names = model.graph, list(errors)
        layers = {node.name: node for node in graph.node}
        del graph.output[:]
        for at, name in enumerate(names):
            layer, shift = layers[name], f"shift_{at}"
            graph.initializer.append(numpy_helper.from_array(errors[name], f"{shift}_weight"))
            beside = [layer.input[0], f"{shift}_weight"]
            pooled = layer.op_type == "Conv"
            _append(graph, layer, beside, f"{shift}_map" if pooled else shift)
            if pooled:
                graph.node.append(helper.make_node("GlobalAveragePool", [f"{shift}_map"], [shift], shift))
            graph.output.append(helper.make_tensor_value_info(shift, TensorProto.FLOAT, None))
        path = scratch / "shifts.onnx"
        onnx.save(model, path)
    except Exception as error:  # onnx raises types of its own
        raise ExportError(f"the shift of the layers cannot be measured: {one_line(error)}") from error
    batches = list(run(path, images, [f"shift_{at}" for at in range(len(names))]))
    shifts = {}
    for at, name in enumerate(names):
        of_images = np.concatenate([batch[at] for batch in batches])
        shifts[name] = of_images.reshape(len(of_images), -1).mean(axis=0, dtype=np.float64)
    return shifts


def correct_biases(prepared: Path, shifts: Mapping[str, np.ndarray], out: Path) -> Path:
    """Write the graph with each layer's shift, (O,) by layer, taken from its bias; a layer without a bias gets one."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(prepared)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.name not in shifts:
            continue
        bias = constants.get(node.input[2]) if len(node.input) > 2 else None
        old = 0.0 if bias is None else numpy_helper.to_array(bias)
        name = f"{node.name}_corrected_bias"  # of its own: another layer may read the old one
        new = (old - shifts[node.name]).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(new, name))
        del node.input[2:]
        node.input.append(name)
    onnx.save(model, out)
    return out


def _append(graph: Any, layer: Any, inputs: list[str], output: str) -> None:
    """A layer like another, with other inputs."""
    twin = graph.node.add()
    twin.CopyFrom(layer)
    del twin.input[:], twin.output[:]
    twin.input.extend(inputs)
    twin.output.append(output)
    twin.name = output
