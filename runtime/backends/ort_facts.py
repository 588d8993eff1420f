"""What a file in ONNX Runtime's own format (.ort) says of itself, read by the reader that onnxruntime brings."""

import math
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from .onnx_facts import TYPES, OnnxFacts, note_operator

_READER = "ort_flatbuffers_py"
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
    _import_reader()
    from ort_flatbuffers_py.fbs.InferenceSession import InferenceSession

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


def _import_reader() -> None:
    """Make `ort_flatbuffers_py`, as the reader's generated files call it, importable.

    Importing `onnxruntime.tools.ort_format_model` does it by adding a folder to sys.path for good.
    """
    if _READER in sys.modules:
        return
    import onnxruntime

    folder = Path(onnxruntime.__file__).parent / "tools" / "ort_format_model" / _READER
    spec = spec_from_file_location(_READER, folder / "__init__.py", submodule_search_locations=[str(folder)])
    assert spec is not None
    assert spec.loader is not None
    package = module_from_spec(spec)
    spec.loader.exec_module(package)
    sys.modules[_READER] = package


def _plausible(count: int, data: bytes) -> int:
    """A vector's length, whose entries take four bytes each."""
    if 4 * count > len(data):
        raise ValueError("a list is longer than the file")
    return count
