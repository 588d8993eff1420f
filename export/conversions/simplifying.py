"""onnxsim, which may help and must never hurt."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...runtime.tensors import BatchRange
from ..child import run_in_child
from ..errors import ExportError
from ..probes import Probes
from .onnx_check import REFUSED, check_and_run, compare_outputs, count_nodes

_IMAGES, _CHECKED, _SIMPLER = "images.npy", "checked.npz", "simpler.npz"


@dataclass(frozen=True)
class Simplified:
    """The graph to go on with.

    Attributes:
        path: the simplified file, or the original where simplification failed.
        nodes_before: operators in the original.
        nodes_after: operators in `path`.
        note: why the original was kept; empty when it was not.
    """

    path: Path
    nodes_before: int
    nodes_after: int
    note: str = ""

    @property
    def details(self) -> dict[str, str]:
        """For the manifest."""
        counts = {"onnx_nodes": str(self.nodes_after), "onnx_nodes_before_onnxsim": str(self.nodes_before)}
        return counts | ({"onnxsim": self.note} if self.note else {})


def check_and_simplify(path: Path, out: Path, probes: Probes, batch: BatchRange) -> Simplified:
    """Check an ONNX file and simplify it into `out`; it is kept itself, with the reason, where that goes wrong.

    Args:
        path: a float32 file.
        out: another path.
        probes: what both files are checked against.
        batch: the sizes that they take.

    Raises:
        ExportError: `path` is not valid ONNX, does not run, or disagrees with the network itself; or what checks and
            runs it crashed.
    """
    before, rows = count_nodes(path), list(probes.rows(batch))
    with tempfile.TemporaryDirectory(prefix="edgedistill-") as folder:
        checked, simpler = Path(folder, _CHECKED), Path(folder, _SIMPLER)
        np.save(Path(folder, _IMAGES), probes.images)
        reason = ""
        try:
            run_in_child(check_simplify_check, path, out, rows, folder, what=REFUSED)
        except ExportError as error:
            if not checked.exists():
                raise
            reason = str(error).removeprefix(f"{REFUSED}: ")
        compare_outputs(checked, rows, probes)
        if not reason:
            try:
                compare_outputs(simpler, rows, probes)
            except ExportError as error:
                reason = str(error)
    if reason:
        return Simplified(path, before, before, f"not simplified: onnxsim: {reason}")
    return Simplified(out, before, count_nodes(out))


def check_simplify_check(path: str, out: str, rows: list[list[int]], folder: str) -> None:
    """In the child, which imports once for all three; outputs go to `folder`, those of `path` when it is checked."""
    import onnx
    import onnxsim

    images, whole = f"{folder}/{_IMAGES}", Path(folder, "whole.npz")
    check_and_run(path, images, rows, str(whole))
    whole.rename(Path(folder, _CHECKED))
    model, valid = onnxsim.simplify(path)
    if not valid:
        raise ExportError("its own check found a difference")
    onnx.save(model, out)
    check_and_run(out, images, rows, f"{folder}/{_SIMPLER}")
