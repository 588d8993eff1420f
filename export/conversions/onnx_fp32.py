"""`onnx.fp32`: the network as ONNX, self-contained, with a dynamic batch and the network's facts."""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...runtime.tensors import TensorSpec
from ..errors import ExportError, one_line
from ..signature import BATCH
from .base import CONVERSIONS, Converted, Ingredients
from .onnx_check import check_onnx, require_modules
from .simplifying import simplify

if TYPE_CHECKING:
    from ..graph import DeployGraph

_MOST_BYTES = 2 << 30  # of a protobuf message


@CONVERSIONS.register("onnx.fp32")
def onnx_fp32(ingredients: Ingredients) -> Converted:
    """Write, check, simplify, and write the network's facts into the file; what is made of it keeps them."""
    written = ingredients.source.write_onnx(
        ingredients.input, ingredients.scratch / "written.onnx", opset=ingredients.opset
    )
    check_onnx(written, ingredients.probes, ingredients.batch)
    simplified = simplify(written, ingredients.scratch / "model.fp32.onnx", ingredients.probes, ingredients.batch)
    write_facts(simplified.path, ingredients.facts)
    return Converted(simplified.path, simplified.details)


def export_onnx(graph: "DeployGraph", image: TensorSpec, path: Path, *, opset: int | None = None) -> Path:
    """Trace `graph` and write one file, weights included.

    Args:
        graph: in eval mode.
        image: the input's name, dtype and shape.
        path: of the .onnx file.
        opset: the operator set to write it in; None for PyTorch's default.

    Raises:
        MissingDependencyError: onnx or onnxscript is not installed.
        ExportError: the network does something that ONNX export cannot trace, or not in that operator set.
    """
    require_modules("onnx", "onnxscript")
    import onnx
    import torch

    _check_size(graph)
    # Two images: a batch of one would be traced as the constant 1.
    example = torch.zeros(2, *map(int, image.shape[1:]), dtype=getattr(torch, image.dtype))
    try:
        with _quiet():
            program = torch.onnx.export(
                graph,
                (example,),
                dynamo=True,
                input_names=[image.name],
                output_names=graph.output_names,
                dynamic_shapes=({0: torch.export.Dim(BATCH, min=1)},),
                external_data=False,
                opset_version=opset,
                verbose=False,
            )
        assert program is not None  # with dynamo=True there is one
        model = program.model_proto
    except torch.onnx.errors.OnnxExporterError as error:
        cause = error.__cause__ or error
        raise ExportError(f"the network cannot be traced to ONNX: {one_line(cause)}") from error
    if opset is not None and opset != (written := _opset(model)):
        raise ExportError(f"the network cannot be written in opset {opset}: PyTorch {torch.__version__} made {written}")
    _strip_metadata(model)
    onnx.save(model, path)
    return path


def _check_size(graph: "DeployGraph") -> None:
    """Told before the trace, which takes long for such a network."""
    size = sum(tensor.numel() * tensor.element_size() for tensor in (*graph.parameters(), *graph.buffers()))
    if size >= _MOST_BYTES:
        raise ExportError(
            f"the network's weights take {size / 2**30:.2f} GiB: an ONNX file holds less than 2 GiB, and none is "
            "written with weights outside itself. Take a smaller network."
        )


def _opset(model: Any) -> int:
    """The version of ONNX's own operators that a model uses."""
    return next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def write_facts(path: Path, facts: Mapping[str, str]) -> None:
    """Make `facts` the metadata of an ONNX file, and drop what tools left there about themselves."""
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, dict(facts))
    onnx.save(model, path)


def _strip_metadata(model: Any) -> None:
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
