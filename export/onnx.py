"""The traced graph as ONNX, self-contained, with a dynamic batch."""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch

from ..runtime.bundle import TensorSpec
from ..runtime.errors import MissingDependencyError
from ..runtime.targets import BatchRange
from .errors import ExportError, one_line
from .graph import BATCH, DeployGraph
from .parity import compare
from .probes import Probes


def export_onnx(graph: DeployGraph, image: TensorSpec, path: Path) -> Path:
    """Trace `graph` and write one file, weights included.

    Args:
        graph: in eval mode.
        image: the input's name, dtype and shape.
        path: of the .onnx file.

    Raises:
        MissingDependencyError: onnx or onnxscript is not installed.
        ExportError: the network does something that ONNX export cannot trace.
    """
    require_onnx()
    import onnx

    # Two images: a batch of one would be traced as the constant 1.
    example = torch.zeros(2, *image.shape[1:], dtype=getattr(torch, image.dtype))
    try:
        with _quiet():
            program = torch.onnx.export(
                graph,
                (example,),
                dynamo=True,
                input_names=[image.name],
                output_names=["logits", "probabilities"],
                dynamic_shapes=({0: torch.export.Dim(BATCH, min=1)},),
                external_data=False,
                verbose=False,
            )
        model = program.model_proto
    except torch.onnx.errors.OnnxExporterError as error:
        cause = error.__cause__ or error
        raise ExportError(f"the student cannot be traced to ONNX: {one_line(cause)}") from error
    _strip_metadata(model)
    onnx.save(model, path)
    return path


def require_onnx() -> None:
    """Raise MissingDependencyError, naming the extra, unless the ONNX toolchain is installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(f'{error.name} is not installed: `pip install "edgedistill[export]"`.') from error


def check_onnx(path: Path, probes: Probes) -> None:
    """Check a float32 file by onnx.checker and by running it with batches of several sizes.

    Raises:
        ExportError: the file is not valid ONNX, does not run, or disagrees with the training framework.
    """
    import numpy as np
    import onnx
    import onnxruntime

    try:
        onnx.checker.check_model(path, full_check=True)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        outputs = [
            (*session.run(["logits", "probabilities"], {"image": images}), expected)
            for images, expected in probes.batches(BatchRange())
        ]
    except Exception as error:  # the exception types of onnx and onnxruntime are not exported for catching
        raise ExportError(f"the ONNX graph is refused: {one_line(error)}") from error
    problem = compare(*(np.concatenate(part) for part in zip(*outputs, strict=True)), "fp32").problem
    if problem:
        raise ExportError(f"the ONNX graph is wrong: {problem}.")


def count_nodes(path: Path) -> int:
    """Operators in a file's main graph."""
    import onnx

    return len(onnx.load(path, load_external_data=False).graph.node)


def _strip_metadata(model: "onnx.ModelProto") -> None:  # noqa: F821
    """Drop stack traces and module paths: they name this machine's folders and fill small files."""
    graph = model.graph
    for entry in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        entry.ClearField("metadata_props")
        entry.ClearField("doc_string")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's advice to its own developers; its errors still come as exceptions."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
