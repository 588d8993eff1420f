"""A classifier's ONNX graph as somebody wrote it: what it takes and gives, and where its logits are."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from ...runtime.bundle.file_facts import FileFacts, decode_facts
from ..errors import ExportError

Layout = Literal["uint8_nhwc", "float32_nchw", "float32_nhwc"]

# Between a sigmoid and the graph's output: what moves values and changes none.
_MOVING = ("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose")
_ONE_LABEL = ("Softmax", "LogSoftmax", "Hardmax", "ArgMax")


@dataclass(frozen=True)
class GivenGraph:
    """A float32 graph with one input and one output, which is the logits.

    Attributes:
        model: the graph, an onnx.ModelProto; a final sigmoid is taken off.
        input: the name of what it takes.
        layout: in which type and order of axes.
        size: (height, width) where they are fixed.
        batch: how many images it takes, where that is fixed.
        output: the name of the logits.
        had_sigmoid: the file gives their sigmoid, under the name `given`.
        given: the file's own output.
        facts: what the file says of itself, if it is one of ours.
    """

    model: Any
    input: str
    layout: Layout
    size: tuple[int, int] | None
    batch: int | None
    output: str
    had_sigmoid: bool
    given: str
    facts: FileFacts


def read_graph(model: Any, where: str) -> GivenGraph:
    """Find input and output of an onnx.ModelProto, which is changed.

    Args:
        model: with the values of all weights.
        where: the file, for messages.

    Raises:
        ExportError: it is no classifier of images, or gives one label per image.
        BundleError: it has metadata of ours, and they are damaged.
    """
    graph = model.graph
    facts = decode_facts({entry.key: entry.value for entry in model.metadata_props}, where)
    name, layout, batch, size = _input(graph, where)
    given = output = _output(graph, where)
    sigmoid = _last_operator(graph, output, where)
    if sigmoid is not None:
        output = _bypass(graph, sigmoid, output)
    del graph.output[:]
    graph.output.append(_value(output))
    drop_dead(graph)
    return GivenGraph(model, name, layout, size, batch, output, sigmoid is not None, given, facts)


def _input(graph: Any, where: str) -> tuple[str, Layout, int | None, tuple[int, int] | None]:
    from onnx import TensorProto

    constants = {tensor.name for tensor in graph.initializer}  # old files list them among the inputs too
    inputs = [value for value in graph.input if value.name not in constants]
    for value in [value for value in graph.input if value.name in constants]:
        graph.input.remove(value)
    if len(inputs) == 1:
        kind = inputs[0].type.tensor_type
        dims = [dim.dim_value or None for dim in kind.shape.dim]
        name = inputs[0].name
        if len(dims) == 4 and kind.elem_type == TensorProto.UINT8 and dims[3] == 3:
            return name, "uint8_nhwc", dims[0], _both(dims[1], dims[2])
        if len(dims) == 4 and kind.elem_type == TensorProto.FLOAT and dims[1] == 3:
            return name, "float32_nchw", dims[0], _both(dims[2], dims[3])
        if len(dims) == 4 and kind.elem_type == TensorProto.FLOAT and dims[3] == 3:
            return name, "float32_nhwc", dims[0], _both(dims[1], dims[2])
    raise ExportError(
        f"{where}: its graph takes {'; '.join(map(_text, inputs)) or 'nothing'}: an image classifier takes float32 "
        "(N, 3, H, W) or (N, H, W, 3), or uint8 (N, H, W, 3)."
    )


def _both(height: int | None, width: int | None) -> tuple[int, int] | None:
    return (height, width) if height and width else None


def _output(graph: Any, where: str) -> str:
    names = [value.name for value in graph.output]
    if len(names) == 1:
        return names[0]
    if sorted(names) == ["logits", "probabilities"]:  # as bundles have them
        return "logits"
    raise ExportError(
        f"{where}: its graph gives {', '.join(names) or 'nothing'}: one output is wanted, the scores (N, C)."
    )


def _last_operator(graph: Any, output: str, where: str) -> Any | None:
    """The sigmoid that the output comes from; None where it comes from something else."""
    producers = {name: node for node in graph.node for name in node.output}
    node = producers.get(output)
    while node is not None and node.op_type in _MOVING:
        node = producers.get(node.input[0])
    if node is not None and node.op_type in _ONE_LABEL:
        raise ExportError(
            f"{where}: it ends in {node.op_type}, which gives one label per image. edgedistill reads each class by "
            "itself, as the sigmoid of a logit: export a network that was trained so, up to its logits."
        )
    return node if node is not None and node.op_type == "Sigmoid" else None


def _bypass(graph: Any, sigmoid: Any, output: str) -> str:
    """Take the sigmoid out; returns the name of the logits."""
    before, after = sigmoid.input[0], sigmoid.output[0]
    graph.node.remove(sigmoid)
    for node in graph.node:
        for at, name in enumerate(node.input):
            if name == after:
                node.input[at] = before
    return before if output == after else output


def drop_dead(graph: Any) -> None:
    """Remove nodes and weights of which nothing is used."""
    outputs = {value.name for value in graph.output}
    while True:
        used = outputs | set(_read_names(graph))
        dead = [node for node in graph.node if not used.intersection(node.output)]
        if not dead:
            break
        for node in dead:
            graph.node.remove(node)
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)


def _read_names(graph: Any) -> Iterator[str]:
    """What nodes read, those of subgraphs included."""
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _read_names(inner)
                yield from (value.name for value in inner.output)


def _value(name: str) -> Any:
    """A float32 output of two axes whose lengths are not known."""
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, None])


def _text(value: Any) -> str:
    from onnx import TensorProto

    kind = value.type.tensor_type
    dims = ", ".join(dim.dim_param or str(dim.dim_value or "?") for dim in kind.shape.dim)
    return f"{value.name}: {TensorProto.DataType.Name(kind.elem_type).lower()} ({dims})"
