"""Does an artifact say what the training framework says? Judged through the very backend that ships."""

from dataclasses import dataclass

import msgspec
import numpy as np

from ..runtime.backends.base import Backend
from ..runtime.bundle import Artifact, Bundle, Coverage, ExportParity
from ..runtime.bundle.selection import open_artifact
from ..runtime.errors import EdgedistillError, MissingDependencyError
from ..runtime.parity.soundness import outputs_problem
from ..runtime.precisions import precision_of
from .errors import one_line
from .probes import Probes


@dataclass(frozen=True)
class Difference:
    """An artifact's outputs against the training framework's; `problem` says in words what is wrong, or nothing."""

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
            f"its logits differ from the training framework's by up to {parity.max_abs_logit:.2g}, "
            f"more than the {limit:.2g} allowed in {precision}",
        )
    return Difference(parity)


def check_artifact(bundle: Bundle, artifact: Artifact, probes: Probes, *, built_for_elsewhere: bool) -> Artifact:
    """Run an artifact with batches of several sizes and return it with its status, reason and parity.

    Args:
        bundle: where the artifact's files are; its manifest needs the inputs and outputs only.
        artifact: with files.
        probes: what to compare with.
        built_for_elsewhere: the files are machine code for other devices, so that a refusal to load them here says
            nothing about them.
    """
    try:
        backend = open_artifact(bundle, artifact)
    except EdgedistillError as error:
        not_run = built_for_elsewhere or isinstance(error, MissingDependencyError)
        return _judged(artifact, "built_not_run" if not_run else "failed", str(error))
    with backend:
        try:
            outputs = [
                (*_scores(backend.infer(images)), expected)
                for images, expected in probes.batches(artifact.target.batch)
            ]
        except Exception as error:  # a toolchain's own exception types are many
            return _judged(artifact, "failed", f"it loads but does not run: {one_line(error)}")
        if precision_of(artifact.precision).quantised:
            artifact = _counted(artifact, backend)
    logits, probabilities, expected = map(np.concatenate, zip(*outputs, strict=True))
    difference = compare(logits, probabilities, expected, artifact.precision)
    if difference.problem:
        return _judged(artifact, "failed", f"{difference.problem}.", difference.parity)
    assert difference.parity is not None
    golden = float(np.abs(logits - expected)[: probes.golden].mean()) if probes.golden else None
    parity = msgspec.structs.replace(
        difference.parity, golden_mean_abs_logit=golden, runner=backend.effective.get("library", artifact.backend)
    )
    return msgspec.structs.replace(artifact, status="verified", parity=parity)


def _counted(artifact: Artifact, backend: Backend) -> Artifact:
    """With its coverage; why a library does not tell is among the details."""
    try:
        return msgspec.structs.replace(artifact, coverage=count_int8(backend))
    except Exception as error:  # a library may refuse to show what it made of the graph
        details = artifact.details | {"int8_not_counted": one_line(error)}
        return msgspec.structs.replace(artifact, details=details)


def count_int8(backend: Backend) -> Coverage | None:
    """Which convolutions a loaded int8 artifact computes in int8; None where the library does not show it."""
    found = backend.convolutions()
    if found is None:
        return None
    in_float = tuple(name for name, kind in found if kind != "int8")
    return Coverage(
        runner=backend.effective.get("library", type(backend).__name__),
        convolutions=len(found),
        int8=len(found) - len(in_float),
        in_float=in_float,
    )


def _scores(outputs: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return outputs["logits"], outputs["probabilities"]


def _judged(artifact: Artifact, status: str, reason: str, parity: ExportParity | None = None) -> Artifact:
    """A failed artifact keeps no file: nothing wrong ships."""
    files = () if status == "failed" else artifact.files
    return msgspec.structs.replace(artifact, status=status, reason=reason, parity=parity, files=files)
