"""onnxsim, which may help and must never hurt."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ..errors import ExportError, one_line
from ..probes import Probes
from .onnx_check import check_onnx, count_nodes

_SCRIPT = """
import sys, onnx, onnxsim
model, valid = onnxsim.simplify(sys.argv[1])
if not valid:
    sys.exit("onnxsim's own check found a difference")
onnx.save(model, sys.argv[2])
"""
_TIMEOUT_S = 300


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


def simplify(path: Path, out: Path, probes: Probes) -> Simplified:
    """Simplify the ONNX file `path` into `out`; the original is kept, with the reason, where that goes wrong.

    In a process of its own: onnxsim has a history of crashing with the interpreter.

    Args:
        path: a checked float32 file.
        out: another path.
        probes: what the result is checked against.
    """
    before = count_nodes(path)
    try:
        # -P: a file called onnx.py in the current folder must not be taken for the library.
        subprocess.run(
            [sys.executable, "-P", "-c", _SCRIPT, str(path), str(out)],
            check=True,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
        )
        check_onnx(out, probes)
    except subprocess.CalledProcessError as error:
        cause = one_line(error.stderr) if error.stderr.strip() else f"it ended with status {error.returncode}"
        return Simplified(path, before, before, f"not simplified: {cause}")
    except subprocess.TimeoutExpired:
        return Simplified(path, before, before, f"not simplified: onnxsim took more than {_TIMEOUT_S} s")
    except ExportError as error:
        return Simplified(path, before, before, f"not simplified: {error}")
    return Simplified(out, before, count_nodes(out))
