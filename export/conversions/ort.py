"""`ort.<precision>`: ONNX Runtime's own format, which its small mobile builds read without a parser for ONNX."""

import shutil
from pathlib import Path

from ..child import run_in_child
from .base import CONVERSIONS, Converted, Ingredients


@CONVERSIONS.register("ort.fp32")
def ort_fp32(ingredients: Ingredients) -> Converted:
    """From `onnx.fp32`."""
    return _convert(ingredients, "onnx.fp32")


@CONVERSIONS.register("ort.int8")
def ort_int8(ingredients: Ingredients) -> Converted:
    """From `onnx.int8.u8s8`."""
    return _convert(ingredients, "onnx.int8.u8s8")


def _convert(ingredients: Ingredients, name: str) -> Converted:
    source = ingredients.get(name)
    path = convert_to_ort(source.path, ingredients.scratch / f"ort.{name}")
    operators = path.with_name(f"{path.stem}.required_operators.config").read_text(encoding="utf-8")
    needed = "; ".join(line for line in operators.splitlines() if line and not line.startswith("#"))
    return Converted(path, source.details | {"required_operators": needed})


def convert_to_ort(source: Path, folder: Path) -> Path:
    """Optimise an ONNX file for the CPU provider of an Arm device and write it, with the operators that it needs.

    What only an x86 CPU computes is left out of the optimisations, so that the file runs on both.

    Args:
        source: the .onnx file.
        folder: does not exist yet.

    Returns:
        the .ort file; beside it stands `<stem>.required_operators.config`, for a build of ONNX Runtime with no others.

    Raises:
        ExportError: the tool fails; gives its last words.
    """
    folder.mkdir()
    copy = Path(shutil.copyfile(source, folder / "model.onnx"))
    run_in_child(_write_ort, copy, what="the graph cannot be converted to ORT format")
    return copy.with_suffix(".ort")


def _write_ort(path: str) -> None:
    """In the child: beside the file."""
    from onnxruntime.tools import convert_onnx_models_to_ort as tool

    tool.convert_onnx_models_to_ort(
        Path(path), optimization_styles=[tool.OptimizationStyle.Fixed], target_platform="arm"
    )
