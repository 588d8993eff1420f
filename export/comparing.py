"""Do outputs say what the network itself says, as far as a precision allows?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ..runtime.bundle import ExportParity
from ..runtime.parity.soundness import outputs_problem
from ..runtime.precisions import precision_of
from .errors import ExportError

if TYPE_CHECKING:  # the child would pay for torch
    from .probes import Probes

_RELATIVE_FLOOR = 1e-3  # of another order of summation
_NORMS_IN_A_SPREAD = 2.0  # at least: a precision's share is of the largest difference, and of the whole spread
_TINY = 1e-12


@dataclass(frozen=True)
class Difference:
    """An artifact's outputs against the network's own; `problem` says in words what is wrong, or nothing."""

    parity: ExportParity | None
    problem: str = ""


def compare(logits: np.ndarray, probabilities: np.ndarray, expected: np.ndarray, precision: str) -> Difference:
    """Judge outputs float32 (N, C) against the framework's logits (N, C)."""
    if logits.shape != expected.shape or probabilities.shape != expected.shape:
        return Difference(None, f"its outputs are {logits.shape} and {probabilities.shape}, not {expected.shape}")
    problem = outputs_problem(logits, probabilities)
    if problem:
        return Difference(None, f"{problem} in {precision}")
    difference = np.abs(logits.astype(np.float64) - expected)
    parity = ExportParity(
        images=len(expected), max_abs_logit=float(difference.max()), mean_abs_logit=float(difference.mean())
    )
    limit = precision_of(precision).built(expected)
    if parity.max_abs_logit > limit:
        return Difference(
            parity,
            f"its logits differ from the network's own by up to {parity.max_abs_logit:.2g}, "
            f"more than the {limit:.2g} allowed in {precision}",
        )
    return Difference(parity)


def judge(outputs: Mapping[str, np.ndarray], rows: np.ndarray, probes: "Probes", precision: str) -> Difference:
    """Compare a graph's outputs with the training framework's.

    Args:
        outputs: (M, ...) by name.
        rows: (M,) which of the probes each row is of; the golden images come first.
        probes: what to compare with.
        precision: what the arithmetic is claimed to be.
    """
    logits, expected = outputs["logits"], probes.logits[rows]
    difference = compare(logits, outputs["probabilities"], expected, precision)
    if difference.problem:
        return difference
    assert difference.parity is not None
    try:
        further = {
            name: _relative_error(name, outputs[name], values[rows], precision)
            for name, values in probes.further.items()
        }
    except ExportError as error:
        return Difference(difference.parity, str(error).removesuffix("."))
    golden = float(np.abs(logits - expected)[: probes.golden].mean()) if probes.golden else None
    return Difference(msgspec.structs.replace(difference.parity, golden_mean_abs_logit=golden, further=further))


def _relative_error(name: str, found: np.ndarray, expected: np.ndarray, precision: str) -> float:
    """Of an optional output: the norm of its difference to the network's own, in units of that one's norm.

    Raises:
        ExportError: it is more than the precision allows.
    """
    if found.shape != expected.shape:
        raise ExportError(f"its {name} is {found.shape}, not {expected.shape}.")
    norm = max(float(np.linalg.norm(expected)), _TINY)
    error = float(np.linalg.norm(found.astype(np.float64) - expected)) / norm
    limit = max(_RELATIVE_FLOOR, _NORMS_IN_A_SPREAD * precision_of(precision).share)
    if not error <= limit:  # NaN is not
        raise ExportError(
            f"its {name} is off by {error:.2g} of the network's own, more than the {limit:.2g} allowed in {precision}."
        )
    return error
