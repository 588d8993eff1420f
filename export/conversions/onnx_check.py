"""Is an ONNX file valid, does it run, and does it say what the network itself says?"""

from importlib import import_module
from pathlib import Path

from ...runtime.errors import MissingDependencyError
from ...runtime.tensors import BatchRange
from ..errors import ExportError, one_line
from ..probes import Probes
from ..proving import compare


def require_modules(*names: str) -> None:
    """Raise MissingDependencyError, naming the extra, unless these modules can be imported."""
    try:
        for name in names:
            import_module(name)
    except ImportError as error:
        raise MissingDependencyError(f'{error.name} is not installed: `pip install "edgedistill[export]"`.') from error


def check_onnx(path: Path, probes: Probes, batch: BatchRange) -> None:
    """Check a float32 file by onnx.checker and by running it with batches of several sizes.

    Raises:
        ExportError: the file is not valid ONNX, does not run, or disagrees with the network itself.
    """
    import numpy as np
    import onnx
    import onnxruntime

    try:
        onnx.checker.check_model(path, full_check=True)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        outputs = [
            (*session.run(["logits", "probabilities"], {"image": images}), expected)
            for images, expected in probes.batches(batch)
        ]
    except Exception as error:  # the exception types of onnx and onnxruntime are not exported for catching
        raise ExportError(f"the ONNX graph is refused: {one_line(error)}") from error
    logits, probabilities, own = map(np.concatenate, zip(*outputs, strict=True))
    problem = compare(logits, probabilities, own, "fp32").problem
    if problem:
        raise ExportError(f"the ONNX graph is wrong: {problem}.")


def count_nodes(path: Path) -> int:
    """Operators in a file's main graph."""
    import onnx

    return len(onnx.load(path, load_external_data=False).graph.node)
