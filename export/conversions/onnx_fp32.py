"""`onnx.fp32`: the network as ONNX, self-contained, with a dynamic batch and the network's facts."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...runtime.tensors import TensorSpec
from ..child import run_in_child
from ..errors import ExportError, one_line
from ..signature import BATCH
from .base import CONVERSIONS, Converted, Ingredients
from .onnx_check import require_modules
from .simplifying import check_and_simplify
from .torch_exported import quiet, trace

if TYPE_CHECKING:
    from ..graph import DeployGraph

_MOST_BYTES = 2 << 30  # of a protobuf message


@CONVERSIONS.register("onnx.fp32")
def onnx_fp32(ingredients: Ingredients) -> Converted:
    """Write, check, simplify, and write the network's facts into the file; what is made of it keeps them."""
    written = ingredients.source.write_onnx(
        ingredients.input,
        ingredients.scratch / "written.onnx",
        opset=ingredients.opset,
        program=lambda: ingredients.get("torch.exported").path,
    )
    out = ingredients.scratch / "model.fp32.onnx"
    simplified = check_and_simplify(written, out, ingredients.probes, ingredients.batch)
    write_facts(simplified.path, ingredients.facts)
    return Converted(simplified.path, simplified.details)


def export_onnx(
    graph: "DeployGraph",
    image: TensorSpec,
    path: Path,
    *,
    opset: int | None = None,
    program: Callable[[], Path] | None = None,
) -> Path:
    """Write one file, weights included.

    Args:
        graph: in eval mode.
        image: the input's name, dtype and shape.
        path: of the .onnx file.
        opset: the operator set to write it in; None for PyTorch's default.
        program: gives the graph's trace; it is traced here when absent.

    Raises:
        MissingDependencyError: onnx or onnxscript is not installed.
        ExportError: the network does something that ONNX export cannot trace, or not in that operator set; or PyTorch's
            exporter crashed.
    """
    require_modules("onnx", "onnxscript")
    _check_size(graph)
    traced = trace(graph, image, path.with_suffix(".pt2")) if program is None else program()
    what = "the network cannot be written as ONNX"
    run_in_child(write_program, traced, image.name, graph.output_names, opset, path, what=what)
    return path


def write_program(program: str, image: str, outputs: Sequence[str], opset: int | None, out: str) -> None:
    """In the child: an exported PyTorch program (.pt2) as the ONNX file `out`.

    Args:
        program: the file.
        image: name of the input.
        outputs: names, in the program's order.
        opset: the operator set to write it in; None for PyTorch's default.
        out: the file.
    """
    import onnx
    import torch
    from torch.onnx.ops import symbolic as _  # noqa: F401 (registers what a trained int8 graph holds)

    try:
        with quiet():
            written = torch.onnx.export(
                torch.export.load(program),
                dynamo=True,
                input_names=[image],
                output_names=list(outputs),
                dynamic_shapes=({0: torch.export.Dim(BATCH, min=1)},),
                external_data=False,
                opset_version=opset,
                verbose=False,
            )
        assert written is not None  # with dynamo=True there is one
        model = written.model_proto
    except torch.onnx.errors.OnnxExporterError as error:
        cause = error.__cause__ or error
        raise ExportError(f"the network cannot be traced to ONNX: {one_line(cause)}") from error
    if opset is not None and opset != (found := _opset(model)):
        raise ExportError(f"the network cannot be written in opset {opset}: PyTorch {torch.__version__} made {found}")
    _strip_metadata(model)
    onnx.save(model, out)


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
