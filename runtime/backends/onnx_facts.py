"""What an ONNX file says of itself, read from its protobuf without the onnx library, which devices do not have.

Only what a runtime must know before it loads the file: the types of weights and operators, and whether there is data
outside the file. https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

# Field numbers of onnx.proto.
_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE = 1, 5, 15
_NODE_NAME, _NODE_OP_TYPE, _NODE_ATTRIBUTE = 3, 4, 5
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = 5, 6, 10, 11
_ATTRIBUTE_INT = 3
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_EXTERNAL = 1, 2, 13
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_FUNCTION_NODE = 7

TYPES = {1: "fp32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 10: "fp16", 11: "fp64", 16: "bf16"}
_FLOATS = ("fp32", "fp16", "bf16", "fp64")
_QUANTISED = ("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "QuantizeLinear", "DequantizeLinear")
_CONVOLUTIONS = {
    **dict.fromkeys(("Conv", "FusedConv", "NhwcFusedConv", "ConvTranspose"), "float"),
    **dict.fromkeys(("QLinearConv", "ConvInteger", "QLinearConvTranspose"), "int8"),
}
_DEEPEST = 32


@dataclass
class OnnxFacts:
    """What was found.

    Attributes:
        operators: how often each operator type occurs, subgraphs and functions included.
        weights: number of values in the initialisers and constants, by type.
        casts: the types that values are cast to on the way, by number of nodes.
        convolutions: (name, "int8" or "float") of each convolution node; what a graph with QuantizeLinear around its
            convolutions will run in shows only after a runtime has optimised it.
        external: file names that tensors point to outside the file, relative to it.
    """

    operators: Counter[str] = field(default_factory=Counter)
    weights: Counter[str] = field(default_factory=Counter)
    casts: Counter[str] = field(default_factory=Counter)
    convolutions: list[tuple[str, str]] = field(default_factory=list)
    external: set[str] = field(default_factory=set)

    @property
    def precision(self) -> str:
        """The arithmetic that the file asks for.

        "int8" with quantised operators; else the type of most weights, "mixed" where values are cast to a coarser one.
        """
        if any(self.operators[name] for name in _QUANTISED):
            return "int8"
        floats = {name: self.weights[name] for name in _FLOATS if self.weights[name]}
        main = max(floats, key=lambda name: floats[name]) if floats else "fp32"
        coarser = [name for name in ("fp16", "bf16") if main == "fp32" and self.casts[name]]
        return f"mixed {main} and {coarser[0]}" if coarser else main


def read_onnx(data: bytes) -> OnnxFacts:
    """The facts of a serialised ModelProto.

    Raises:
        ValueError: the bytes are no protobuf message.
    """
    facts = OnnxFacts()
    for number, value in _fields(memoryview(data)):
        if number == _MODEL_GRAPH and isinstance(value, memoryview):
            _graph(value, facts, 0)
        elif number == _MODEL_FUNCTIONS and isinstance(value, memoryview):
            for inner, node in _fields(value):
                if inner == _FUNCTION_NODE and isinstance(node, memoryview):
                    _node(node, facts, 0)
    return facts


def note_operator(facts: OnnxFacts, operator: str, name: str) -> None:
    """Count an operator, and list it where it is a convolution."""
    facts.operators[operator] += 1
    if kind := _CONVOLUTIONS.get(operator):
        facts.convolutions.append((name, kind))


def _graph(message: memoryview, facts: OnnxFacts, depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError("subgraphs nested too deeply")
    for number, value in _fields(message):
        if not isinstance(value, memoryview):
            continue
        if number == _GRAPH_NODE:
            _node(value, facts, depth)
        elif number == _GRAPH_INITIALIZER:
            _tensor(value, facts)
        elif number == _GRAPH_SPARSE:
            for inner, tensor in _fields(value):
                if inner in (1, 2) and isinstance(tensor, memoryview):
                    _tensor(tensor, facts)


def _node(message: memoryview, facts: OnnxFacts, depth: int) -> None:
    operator = name = ""
    integers: list[int] = []
    for number, value in _fields(message):
        if number == _NODE_NAME and isinstance(value, memoryview):
            name = bytes(value).decode(errors="replace")
        elif number == _NODE_OP_TYPE and isinstance(value, memoryview):
            operator = bytes(value).decode(errors="replace")
        elif number == _NODE_ATTRIBUTE and isinstance(value, memoryview):
            for inner, part in _fields(value):
                if inner in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS) and isinstance(part, memoryview):
                    _tensor(part, facts)
                elif inner in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS) and isinstance(part, memoryview):
                    _graph(part, facts, depth + 1)
                elif inner == _ATTRIBUTE_INT and isinstance(part, int):
                    integers.append(part)
    note_operator(facts, operator, name)
    if operator == "Cast":  # its `to`; newer ones have `saturate` too, a truth value
        facts.casts.update(TYPES[value] for value in integers if value in TYPES)


def _tensor(message: memoryview, facts: OnnxFacts) -> None:
    count, kind = 1, 0
    for number, value in _fields(message):
        if number == _TENSOR_DIMS:
            for size in _packed(value):
                count *= size
        elif number == _TENSOR_TYPE and isinstance(value, int):
            kind = value
        elif number == _TENSOR_EXTERNAL and isinstance(value, memoryview):
            entry = {inner: part for inner, part in _fields(value) if isinstance(part, memoryview)}
            if bytes(entry.get(_ENTRY_KEY, b"")) == b"location":
                facts.external.add(bytes(entry.get(_ENTRY_VALUE, b"")).decode(errors="replace"))
    facts.weights[TYPES.get(kind, "other")] += count


def _packed(value: int | memoryview) -> list[int]:
    """A repeated integer, written one by one or packed."""
    if isinstance(value, int):
        return [value]
    sizes, at = [], 0
    while at < len(value):
        size, at = _varint(value, at)
        sizes.append(size)
    return sizes


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, value) of one message: an int for varints, a view for everything with a length."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(message, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"no protobuf message: wire type {wire}")
        if at + size > len(message):
            raise ValueError("the file ends within a field: truncated?")
        yield number, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError("the file ends within a number: truncated?")
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
