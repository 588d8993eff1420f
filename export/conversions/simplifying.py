"""onnxsim, which may help and must never hurt."""

from dataclasses import dataclass
from pathlib import Path

from ...runtime.tensors import BatchRange
from ..child import run_in_child
from ..errors import ExportError
from ..probes import Probes
from .onnx_check import check_onnx, count_nodes


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


def simplify(path: Path, out: Path, probes: Probes, batch: BatchRange) -> Simplified:
    """Simplify the ONNX file `path` into `out`; the original is kept, with the reason, where that goes wrong.

    Args:
        path: a checked float32 file.
        out: another path.
        probes: what the result is checked against.
        batch: the sizes that it takes.
    """
    before = count_nodes(path)
    try:
        run_in_child(_write_simplified, path, out, what="onnxsim")
        check_onnx(out, probes, batch)
    except ExportError as error:
        return Simplified(path, before, before, f"not simplified: {error}")
    return Simplified(out, before, count_nodes(out))


def _write_simplified(path: str, out: str) -> None:
    """In the child."""
    import onnx
    import onnxsim

    model, valid = onnxsim.simplify(path)
    if not valid:
        raise ExportError("onnxsim's own check found a difference")
    onnx.save(model, out)
