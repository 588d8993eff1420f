"""Brings a given ONNX graph into the form that bundles have: pixels in, `logits` and `probabilities` out, any batch."""

import copy
from typing import Any

import msgspec
import numpy as np

from ...runtime.bundle import InputKind
from ...runtime.record import Record
from ..errors import ExportError, one_line
from ..opset import OLDEST
from ..signature import BATCH
from .base import NetworkCard
from .onnx_graph import GivenGraph, Layout, drop_dead

_IMAGE, _LOGITS, _PROBABILITIES = "image", "logits", "probabilities"
_PREFIX, _OWN = "given_", "image/"  # of names
_PER_CHANNEL = 13  # the opset in which quantised weights got a scale per channel


def free_batch(given: GivenGraph) -> Any:
    """A copy of the model that says to take any number of images; whether it does, only running it shows.

    Reshapes that a fixed batch is written into are told to keep the number of images instead.
    """
    model = copy.deepcopy(given.model)
    graph = model.graph
    for value in graph.input:
        if value.name == given.input:
            value.type.tensor_type.shape.dim[0].Clear()
            value.type.tensor_type.shape.dim[0].dim_param = BATCH
    del graph.value_info[:]  # they repeat the old batch
    if given.batch is not None:
        _free_reshapes(graph, given.batch)
    return model


def _free_reshapes(graph: Any, batch: int) -> None:
    from onnx import numpy_helper

    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    for number, node in enumerate(graph.node):
        shape = constants.get(node.input[1]) if node.op_type == "Reshape" else None
        if shape is None or not shape.size or shape[0] != batch:
            continue
        # 0 keeps the length of the axis: it is what Reshape says of a batch beside a -1.
        free = np.array([0 if -1 in shape else -1, *shape[1:]], np.int64)
        name = f"{_PREFIX}shape_{number}"
        graph.initializer.append(numpy_helper.from_array(free, name))
        node.input[1] = name


class Form(Record):
    """From which form to which a graph is brought.

    Attributes:
        taken: the name of its input.
        layout: in which type and order of axes it takes images.
        logits: their name.
        card: size, normalisation and classes.
        input: what the new graph takes.
        opset: the operator set to write it in; None for its own, or the oldest that we write where that is too old.
    """

    taken: str
    layout: Layout
    logits: str
    card: NetworkCard
    input: InputKind
    opset: int | None


def write_wrapped(source: str, form: dict[str, Any], out: str) -> None:
    """In the child: the graph of the file `source`, with a `Form` as JSON's types, as the file `out`."""
    import onnx

    onnx.save(wrap(onnx.load(source), msgspec.convert(form, Form)), out)


def wrap(model: Any, form: Form) -> Any:
    """A new onnx.ModelProto as bundles have it, of one that is changed.

    Raises:
        ExportError: onnx cannot bring it into that operator set.
    """
    from onnx import TensorProto, compose, helper, inliner

    model = _in_opset(model, form.opset)
    name, output, card = form.taken, form.logits, form.card
    taken = {name for node in model.graph.node for name in (*node.input, *node.output)}
    if taken & {_IMAGE, _LOGITS, _PROBABILITIES} or any(one.startswith(_OWN) for one in taken):
        model = compose.add_prefix(model, _PREFIX, rename_nodes=False)
        name, output = f"{_PREFIX}{name}", f"{_PREFIX}{output}"
    graph = model.graph
    drop_dead(graph)
    batch = next(value for value in graph.input if value.name == name).type.tensor_type.shape.dim[0]
    images = batch.dim_value or BATCH
    uint8 = form.input == "uint8_nhwc"
    height, width = card.preprocessing.size
    shape = [images, height, width, 3] if uint8 else [images, 3, height, width]
    front, constants = _front(form, name)
    nodes = list(graph.node)
    for node in nodes:
        for names in (node.input, node.output):
            for at, one in enumerate(names):
                if one == output:
                    names[at] = _LOGITS
    scores = [images, len(card.classes)]
    new = helper.make_graph(
        [*front, *nodes, helper.make_node("Sigmoid", [_LOGITS], [_PROBABILITIES], f"{_PROBABILITIES}/Sigmoid")],
        "classifier",
        [helper.make_tensor_value_info(_IMAGE, TensorProto.UINT8 if uint8 else TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(one, TensorProto.FLOAT, scores) for one in (_LOGITS, _PROBABILITIES)],
        [*constants, *graph.initializer],
    )
    new.sparse_initializer.extend(graph.sparse_initializer)
    wrapped = helper.make_model(new, opset_imports=model.opset_import, functions=model.functions)
    wrapped.ir_version = max(model.ir_version, 8)
    return inliner.inline_local_functions(wrapped) if wrapped.functions else wrapped


def _front(form: Form, name: str) -> tuple[list[Any], list[Any]]:
    """Nodes from `image` to the tensor `name`, with their constants."""
    from onnx import TensorProto, helper, numpy_helper

    if form.layout == "uint8_nhwc":
        return [helper.make_node("Identity", [_IMAGE], [name], f"{_IMAGE}/Identity")], []
    steps: list[tuple[str, list[str], dict[str, Any]]] = []
    constants = []
    if form.input == "uint8_nhwc":
        scale = (1.0 / (255.0 * np.asarray(form.card.preprocessing.std, np.float32))).astype(np.float32)
        shift = np.asarray(form.card.preprocessing.mean, np.float32) / np.asarray(
            form.card.preprocessing.std, np.float32
        )
        constants = [
            numpy_helper.from_array(value.reshape(1, 3, 1, 1), f"{_OWN}{what}")
            for what, value in (("scale", scale), ("shift", shift))
        ]
        # Cast before the transpose: TensorRT cannot transpose uint8.
        steps += [("Cast", [], {"to": TensorProto.FLOAT}), ("Transpose", [], {"perm": [0, 3, 1, 2]})]
        steps += [("Mul", [f"{_OWN}scale"], {}), ("Sub", [f"{_OWN}shift"], {})]
    if form.layout == "float32_nhwc":
        steps.append(("Transpose", [], {"perm": [0, 2, 3, 1]}))
    if not steps:
        steps.append(("Identity", [], {}))
    nodes, before = [], _IMAGE
    for number, (operator, others, attributes) in enumerate(steps, 1):
        after = name if number == len(steps) else f"{_OWN}{number}"
        title = f"{_OWN}{operator}_{number}"
        nodes.append(helper.make_node(operator, [before, *others], [after], title, **attributes))
        before = after
    return nodes, constants


def _in_opset(model: Any, wanted: int | None) -> Any:
    from onnx import version_converter

    own = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    opset = wanted or (own if own >= _PER_CHANNEL else OLDEST)
    if opset == own:
        return model
    try:
        return version_converter.convert_version(model, opset)
    except Exception as error:  # it raises whatever it meets
        raise ExportError(
            f"the graph is of opset {own}, and onnx cannot bring it to {opset}: {one_line(error)}"
        ) from error
