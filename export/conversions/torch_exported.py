"""`torch.exported`: the traced PyTorch program (.pt2), for converters in processes of their own."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ...runtime.tensors import TensorSpec
from ..errors import ExportError, one_line
from ..signature import BATCH
from .base import CONVERSIONS, Converted, Ingredients
from .onnx_check import require_modules

if TYPE_CHECKING:
    from ..graph import DeployGraph


@CONVERSIONS.register("torch.exported")
def torch_exported(ingredients: Ingredients) -> Converted:
    """Trace the graph with a dynamic batch.

    Raises:
        MissingDependencyError: torch is not installed.
        ExportError: the network does something that cannot be traced, or is an ONNX file.
    """
    graph = ingredients.graph  # of an ONNX file there is none, and torch need not be here
    return Converted(trace(graph, ingredients.image, ingredients.scratch / "program.pt2"))


def trace(graph: "DeployGraph", image: TensorSpec, path: Path) -> Path:
    """Write the program of `graph` for any number of images.

    It runs in this process, which has the network: what is traced is the network's own Python.

    Args:
        graph: in eval mode.
        image: the input's name, dtype and shape.
        path: of the .pt2 file.

    Raises:
        MissingDependencyError: torch is not installed.
        ExportError: the network does something that cannot be traced.
    """
    require_modules("torch")
    import torch

    # Two images: a batch of one would be traced as the constant 1.
    example = torch.zeros(2, *map(int, image.shape[1:]), dtype=getattr(torch, image.dtype))
    shapes = ({0: torch.export.Dim(BATCH, min=1)},)

    def write(*, strict: bool) -> None:
        with quiet():
            torch.export.save(torch.export.export(graph, (example,), dynamic_shapes=shapes, strict=strict), path)

    try:
        write(strict=False)
    except Exception as error:  # its exception types are many
        try:  # by reading its bytecode instead of running it
            write(strict=True)
        except Exception:
            raise ExportError(f"the network cannot be traced: {one_line(error)}") from error
    return path


@contextmanager
def quiet() -> Iterator[None]:
    """Silence PyTorch's advice to its own developers; errors still come as exceptions."""
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
