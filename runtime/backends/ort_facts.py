"""What a file in ONNX Runtime's own format (.ort) says of itself, read by the reader that onnxruntime brings."""

import math
from typing import Any

from .onnx_facts import TYPES, OnnxFacts, note_operator

_IDENTIFIER = b"ORTM"
_MOST_AXES = 16  # a damaged file's are not read to their end


def is_ort(data: bytes) -> bool:
    """Whether the bytes are of that format."""
    return data[4:8] == _IDENTIFIER


def read_ort(data: bytes) -> OnnxFacts:
    """The facts of an .ort file.

    Raises:
        ValueError: the file is damaged.
    """
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs.InferenceSession import InferenceSession

    facts = OnnxFacts()
    try:
        graph: Any = InferenceSession.GetRootAsInferenceSession(data, 0).Model().Graph()
        for index in range(_plausible(graph.NodesLength(), data)):
            node = graph.Nodes(index)
            note_operator(facts, (node.OpType() or b"").decode(errors="replace"), (node.Name() or b"").decode())
        for index in range(_plausible(graph.InitializersLength(), data)):
            tensor = graph.Initializers(index)
            count = math.prod(tensor.Dims(axis) for axis in range(min(tensor.DimsLength(), _MOST_AXES)))
            facts.weights[TYPES.get(tensor.DataType(), "other")] += count
    except Exception as error:  # flatbuffers reads where the bytes say, and fails as it may
        raise ValueError(f"the file is damaged ({type(error).__name__})") from error
    return facts


def _plausible(count: int, data: bytes) -> int:
    """A vector's length, whose entries take four bytes each."""
    if 4 * count > len(data):
        raise ValueError("a list is longer than the file")
    return count
