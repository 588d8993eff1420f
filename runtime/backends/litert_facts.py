"""What a LiteRT file (.tflite) says of itself, read by the reader that ai-edge-litert brings."""

import contextlib
from dataclasses import dataclass, field
from typing import Any, NamedTuple

_IDENTIFIER = b"TFL3"
# Where nearly all of a network's arithmetic is: operator -> the places of its data and of its weights among its inputs.
_CONVOLUTIONS = {"CONV_2D": (0, 1), "DEPTHWISE_CONV_2D": (0, 1), "CONV_3D": (0, 1), "TRANSPOSE_CONV": (2, 1)}
_HEAVY = {**_CONVOLUTIONS, "FULLY_CONNECTED": (0, 1), "BATCH_MATMUL": (0, 1)}


class Operator(NamedTuple):
    """One of a graph.

    Attributes:
        kind: e.g. "CONV_2D".
        inputs: names of the tensors that it takes, constants included.
        results: names of the tensors that it computes.
    """

    kind: str
    inputs: tuple[str, ...]
    results: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of its first result: operators have none of their own."""
        return self.results[0] if self.results else ""


@dataclass
class LiteRtFacts:
    """What was found.

    Attributes:
        operators: in the order of computing.
        convolutions: (name, "int8" or "float") of each convolution: "int8" where both its data and its
            weights are 8-bit integers.
        precision: "int8" where a convolution or a matrix product is computed so, else "fp32".
        metadata: entries that are text, by name.
    """

    operators: list[Operator] = field(default_factory=list)
    convolutions: list[tuple[str, str]] = field(default_factory=list)
    precision: str = "fp32"
    metadata: dict[str, str] = field(default_factory=dict)


def read_litert(data: bytes) -> LiteRtFacts:
    """The facts of a .tflite file.

    Raises:
        ValueError: the file is damaged.
    """
    from ai_edge_litert import schema_py_generated as schema

    if data[4:8] != _IDENTIFIER:
        raise ValueError("it does not begin as a .tflite file does")
    facts = LiteRtFacts()
    try:
        model = schema.Model.GetRootAs(data, 0)
        words = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
        codes = [model.OperatorCodes(place) for place in _places(model.OperatorCodesLength(), data)]
        # Old files have their operator in one field, new ones in another, which then holds the larger number.
        kinds = [words.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "other") for code in codes]
        eight_bits = (schema.TensorType.INT8, schema.TensorType.UINT8)
        for place in _places(model.SubgraphsLength(), data):
            _read_graph(model.Subgraphs(place), kinds, eight_bits, facts, data)
        for place in _places(model.MetadataLength(), data):
            _read_metadata(model, model.Metadata(place), facts, data)
    except Exception as error:  # flatbuffers reads where the bytes say, and fails as it may
        raise ValueError(f"the file is damaged ({type(error).__name__})") from error
    return facts


def _read_graph(graph: Any, kinds: list[str], eight_bits: tuple[int, ...], facts: LiteRtFacts, data: bytes) -> None:
    for place in _places(graph.OperatorsLength(), data):
        entry = graph.Operators(place)
        kind = kinds[entry.OpcodeIndex()]
        inputs = [entry.Inputs(at) for at in _places(entry.InputsLength(), data)]
        results = [entry.Outputs(at) for at in _places(entry.OutputsLength(), data)]
        operator = Operator(kind, _names(graph, inputs), _names(graph, results))
        facts.operators.append(operator)
        if kind not in _HEAVY:
            continue
        types = {graph.Tensors(inputs[which]).Type() for which in _HEAVY[kind]}
        in_int8 = types.issubset(eight_bits)
        if in_int8:
            facts.precision = "int8"
        if kind in _CONVOLUTIONS:
            facts.convolutions.append((operator.name, "int8" if in_int8 else "float"))


def _names(graph: Any, tensors: list[int]) -> tuple[str, ...]:
    """Of tensors by their places; -1 stands for an input that is left out."""
    names = [graph.Tensors(place).Name() for place in tensors if place >= 0]
    return tuple((name or b"").decode(errors="replace") for name in names)


def _read_metadata(model: Any, entry: Any, facts: LiteRtFacts, data: bytes) -> None:
    buffer = model.Buffers(entry.Buffer())
    inside = buffer.DataLength() > 0
    content = buffer.DataAsNumpy().tobytes() if inside else data[buffer.Offset() : buffer.Offset() + buffer.Size()]
    with contextlib.suppress(UnicodeDecodeError):  # another tool's, which is no text
        facts.metadata[entry.Name().decode()] = content.decode()


def _places(count: int, data: bytes) -> range:
    """Of a vector's entries, which take four bytes each."""
    if 4 * count > len(data):
        raise ValueError("a list is longer than the file")
    return range(count)
