"""Bias correction of .tflite files: what `bias_correction` does to ONNX files."""

import copy
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ...runtime.backends.litert import start
from ...runtime.device import usable_cores
from ..errors import ExportError, one_line
from ..litert.constants import BIAS, DATA, WEIGHTS, add_constant, add_tensor, layers_of
from .graph_images import GraphImages


def expected_shifts(source: Path, errors: Mapping[str, np.ndarray], images: GraphImages) -> dict[str, np.ndarray]:
    """What errors of the weights add to each layer's output on average over images and places: float64 (O,) by layer.

    Args:
        source: a float32 file that takes one image at a time.
        errors: float32 in the weights' own shape, by layer.
        images: what its only input takes.

    Raises:
        ExportError: the file cannot be run so.
    """
    sums: dict[str, np.ndarray] = {name: np.zeros(()) for name in errors}
    try:
        interpreter = start(_with_twins(source, errors), num_threads=usable_cores())
        (image,) = interpreter.get_input_details()
        places = {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}
        for at in range(len(images)):
            interpreter.set_tensor(image["index"], images[at : at + 1])
            interpreter.invoke()
            for name in errors:
                values = interpreter.get_tensor(places[_twin(name)])
                sums[name] = sums[name] + values.reshape(-1, values.shape[-1]).mean(axis=0, dtype=np.float64)
    except Exception as error:  # its exception types are Python's own
        raise ExportError(f"the shift of the layers cannot be measured: {one_line(error)}") from error
    return {name: total / len(images) for name, total in sums.items()}


def _with_twins(source: Path, errors: Mapping[str, np.ndarray]) -> bytes:
    """The file with an output more for each layer: what it gives with errors as weights, no bias and no activation."""
    from ai_edge_litert.tools import flatbuffer_utils as tools

    model = tools.read_model(str(source))
    graph, layers = model.subgraphs[0], layers_of(model)
    outputs = [*graph.outputs]
    for name, error in errors.items():
        layer = layers[name]
        shape = graph.tensors[layer.outputs[0]].shape
        twin = copy.copy(layer)
        twin.builtinOptions = copy.copy(layer.builtinOptions)
        twin.builtinOptions.fusedActivationFunction = tools.ActivationFunctionType.NONE
        places = {
            DATA: layer.inputs[DATA],
            WEIGHTS: add_constant(model, f"{_twin(name)}_weights", error),
            BIAS: add_constant(model, f"{_twin(name)}_bias", np.zeros(shape[-1], np.float32)),
        }
        twin.inputs = [places[at] for at in sorted(places)]
        twin.outputs = [add_tensor(model, _twin(name), shape)]
        graph.operators.append(twin)
        outputs += twin.outputs
    graph.outputs = outputs
    return bytes(tools.convert_object_to_bytearray(model))


def _twin(name: str) -> str:
    return f"{name}_shift"
