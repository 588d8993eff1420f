"""ONNX Runtime's own format, which its small mobile builds read without a parser for ONNX."""

import logging
import shutil
from pathlib import Path

from ..child import run_in_child
from ..conversions import Converted

# The same network and the same speed: its map of operators to kernels is written in the order of a randomised hash.
_REPRODUCIBLE = "no: ONNX Runtime writes a table of this format in another order each time"
_SAID = "Model should perform well with "


def to_ort(source: Converted, folder: Path) -> Converted:
    """Optimise an ONNX file for the CPU provider of an Arm device and write it in ONNX Runtime's format.

    What only an x86 CPU computes is left out of the optimisations, so that the file runs on both. Its details say
    which operators it needs, for a build of ONNX Runtime with no others, and what onnxruntime's mobile usability
    checker thinks of it on phones' accelerators.

    Args:
        source: the .onnx file.
        folder: does not exist yet.

    Raises:
        ExportError: the tool fails; gives its last words.
    """
    folder.mkdir()
    copy = Path(shutil.copyfile(source.path, folder / "model.onnx"))
    details = run_in_child(_write_ort, copy, what="the graph cannot be converted to ORT format")
    return Converted(copy.with_suffix(".ort"), source.details | details | {"reproducible": _REPRODUCIBLE})


def _write_ort(path: str) -> dict[str, str]:
    """In the child: the file and its list of operators beside the .onnx file `path`; returns the details."""
    from onnxruntime.tools import convert_onnx_models_to_ort as tool

    tool.convert_onnx_models_to_ort(
        Path(path), optimization_styles=[tool.OptimizationStyle.Fixed], target_platform="arm"
    )
    operators = Path(path).with_name(f"{Path(path).stem}.required_operators.config").read_text(encoding="utf-8")
    needed = "; ".join(line for line in operators.splitlines() if line and not line.startswith("#"))
    return {"required_operators": needed, "mobile_usability": mobile_usability(Path(path))}


def mobile_usability(path: Path) -> str:
    """What onnxruntime's checker says of an ONNX file, e.g. "NNAPI YES; CoreML MLProgram MAYBE".

    Each word is about the file as it is: whether so much of it can run on the accelerator in so few pieces that it may
    be worth a trial.
    """
    from onnxruntime.tools.mobile_helpers import usability_checker

    said = _Said()
    logger = logging.Logger("mobile_usability", logging.INFO)
    logger.addHandler(said)
    usability_checker.analyze_model(path, logger=logger)
    verdicts = [line.removeprefix(_SAID) for line in said.lines if line.startswith(_SAID) and " as is: " in line]
    return "; ".join(verdict.replace(" as is: ", " ") for verdict in verdicts)


class _Said(logging.Handler):
    """Keeps messages: the checker tells its verdicts nowhere else."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
