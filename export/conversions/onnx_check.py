"""Is an ONNX file valid, does it run, and does it say what the network itself says?"""

from importlib import import_module
from pathlib import Path

import numpy as np

from ...runtime.backends.base import not_importable
from ..comparing import compare
from ..errors import ExportError
from ..probes import Probes

REFUSED = "the ONNX graph is refused"


def require_modules(*names: str) -> None:
    """Raise MissingDependencyError, naming the extra, unless these modules can be imported."""
    for name in names:
        _import(name)


def _import(name: str) -> None:
    try:
        import_module(name)
    except ImportError as error:
        raise not_importable(name, "export", error) from error


def compare_outputs(outputs: Path, rows: list[list[int]], probes: Probes) -> None:
    """Raise ExportError where what `check_and_run` wrote is not what the network itself says."""
    with np.load(outputs, allow_pickle=False) as stored:
        logits, probabilities = stored["logits"], stored["probabilities"]
    problem = compare(logits, probabilities, probes.logits[np.concatenate(rows)], "fp32").problem
    if problem:
        raise ExportError(f"the ONNX graph is wrong: {problem}.")


def check_and_run(path: str, images: str, rows: list[list[int]], out: str) -> None:
    """In the child: check the file and write the outputs (N, C) that onnxruntime computes, batch after batch."""
    import onnx
    import onnxruntime

    onnx.checker.check_model(path, full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    pixels, names = np.load(images), ["logits", "probabilities"]
    found = [session.run(names, {"image": pixels[batch]}) for batch in rows]
    logits, probabilities = map(np.concatenate, zip(*found, strict=True))
    np.savez(out, logits=logits, probabilities=probabilities)


def count_nodes(path: Path) -> int:
    """Operators in a file's main graph."""
    import onnx

    return len(onnx.load(path, load_external_data=False).graph.node)
