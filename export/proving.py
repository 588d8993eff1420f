"""Runs each artifact through the very backend that ships, and judges it; where it cannot run here, a surrogate does."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import numpy as np

from ..runtime.backends.base import BACKENDS, Backend
from ..runtime.bundle import NO_SURROGATE, Artifact, Bundle, Coverage, ExportParity, Manifest
from ..runtime.bundle.selection import open_artifact
from ..runtime.bundle.storage import FolderStorage
from ..runtime.errors import EdgedistillError, MissingDependencyError
from ..runtime.precisions import precision_of
from .child import run_in_child
from .comparing import judge
from .errors import ExportError, one_line

if TYPE_CHECKING:  # the child would pay for torch
    from .builders import Built
    from .probes import Probes


def check_artifact(bundle: Bundle, artifact: Artifact, probes: "Probes", built: "Built") -> Artifact:
    """Run an artifact with batches of several sizes and return it with its status, reason and parity.

    Where it cannot run here, a surrogate does and is called so: another device of its backend that runs the same file,
    else the builder's own evaluation of the graph. A file that is wrong there does not ship, one that is right stays
    "built_not_run".

    Args:
        bundle: a folder with the artifact's files; its manifest needs the inputs and outputs only.
        artifact: with files.
        probes: what to compare with.
        built: what its builder said of the files.
    """
    judged = _check(artifact, probes, _runner(bundle, artifact), for_elsewhere=built.for_elsewhere)
    if judged.status != "built_not_run" or built.for_elsewhere:
        return judged
    device, where = BACKENDS.get(artifact.backend).surrogate, ""
    if device:
        target, where = msgspec.structs.replace(artifact.target, device=device), f" on {device}"
        what = f"run on {device} in place of {artifact.target.device}"
        run = _runner(bundle, msgspec.structs.replace(artifact, target=target))
    elif built.evaluation is not None:
        what, run = built.evaluation.what, built.evaluation.run
    else:
        return judged
    other = _check(artifact, probes, run, for_elsewhere=False)
    if other.status == "failed":
        return _judged(artifact, "failed", f"{what}: {other.reason}")
    judged = msgspec.structs.replace(judged, details=judged.details | other.details)
    if other.parity is None:  # there is no surrogate either
        return judged
    runner = f"{other.parity.runner}{where}"
    counted = None if other.coverage is None else msgspec.structs.replace(other.coverage, runner=runner)
    return msgspec.structs.replace(
        judged, surrogate=msgspec.structs.replace(other.parity, runner=runner), coverage=counted
    )


_Run: TypeAlias = Callable[[Path, list[list[int]], Path], dict[str, Any]]


def _runner(bundle: Bundle, artifact: Artifact) -> _Run:
    """Runs an artifact in a process of its own: a library that crashes on the file fails this artifact only."""
    manifest = msgspec.structs.replace(bundle.manifest, artifacts=(artifact,))

    def run(images: Path, rows: list[list[int]], outputs: Path) -> dict[str, Any]:
        what = "it cannot be run"
        found: dict[str, Any] = run_in_child(run_artifact, bundle.root, manifest, images, rows, outputs, what=what)
        return found

    return run


def _check(artifact: Artifact, probes: "Probes", run: _Run, *, for_elsewhere: bool) -> Artifact:
    rows = list(probes.rows(artifact.target.batch))
    with tempfile.TemporaryDirectory(prefix="edgedistill-") as folder:
        images, outputs = Path(folder, "images.npy"), Path(folder, "outputs.npz")
        np.save(images, probes.images)
        try:
            ran = run(images, rows, outputs)
        except ExportError as error:
            return _judged(artifact, "failed", str(error))
        if "refused" in ran:
            not_run = for_elsewhere or ran["is_missing"]
            return _judged(artifact, "built_not_run" if not_run else "failed", ran["refused"])
        if "error" in ran:
            return _judged(artifact, "failed", f"it loads but does not run: {ran['error']}")
        if "not_evaluated" in ran:
            details = artifact.details | {NO_SURROGATE: f"not evaluated: {ran['not_evaluated']}"}
            return msgspec.structs.replace(artifact, status="built_not_run", details=details)
        with np.load(outputs, allow_pickle=False) as stored:
            found = dict(stored)
    artifact = msgspec.structs.replace(
        artifact,
        coverage=msgspec.convert(ran.get("coverage"), Coverage | None),
        details=artifact.details | ran.get("details", {}),
    )
    difference = judge(found, np.concatenate(rows), probes, artifact.precision)
    if difference.problem or difference.parity is None:
        weights = artifact.details.get("weights", "")  # of int8, where they are not the usual ones or this CPU is not
        told = f" Weights: {weights}." if weights else ""
        return _judged(artifact, "failed", f"{difference.problem}.{told}", difference.parity)
    parity = msgspec.structs.replace(difference.parity, runner=ran["runner"])
    return msgspec.structs.replace(artifact, status="verified", parity=parity)


def run_artifact(root: str, manifest: dict[str, Any], images: str, rows: list[list[int]], out: str) -> dict[str, Any]:
    """In the child: run a manifest's only artifact and write its outputs.

    Args:
        root: the bundle's folder.
        manifest: as JSON's types.
        images: a .npy of what the graph takes.
        rows: which of them make up each batch.
        out: of an .npz with the manifest's outputs (N, ...) by name, batch after batch.

    Returns:
        what ran and its coverage; or why it is "refused", or its "error" while it ran.
    """
    described = msgspec.convert(manifest, Manifest)
    (artifact,) = described.artifacts
    try:
        backend = open_artifact(Bundle(FolderStorage(Path(root)), described, b""), artifact)
    except EdgedistillError as error:
        return {"refused": str(error), "is_missing": isinstance(error, MissingDependencyError)}
    pixels = np.load(images)
    with backend:
        try:
            outputs = [backend.infer(pixels[batch]) for batch in rows]
        except Exception as error:  # a toolchain's own exception types are many
            return {"error": one_line(error)}
        coverage, details = _coverage(backend, artifact)
    found: dict[str, Any] = {
        spec.name: np.concatenate([batch[spec.name] for batch in outputs]) for spec in described.outputs
    }
    np.savez(out, **found)
    runner = backend.effective.get("library", artifact.backend)
    return {"runner": runner, "coverage": msgspec.to_builtins(coverage), "details": details}


def _coverage(backend: Backend, artifact: Artifact) -> tuple[Coverage | None, dict[str, str]]:
    """Of an int8 artifact; why a library does not tell is a detail for the manifest."""
    if not precision_of(artifact.precision).quantised:
        return None, {}
    try:
        return count_int8(backend), {}
    except Exception as error:  # a library may refuse to show what it made of the graph
        return None, {"int8_not_counted": one_line(error)}


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


def _judged(artifact: Artifact, status: str, reason: str, parity: ExportParity | None = None) -> Artifact:
    """A failed artifact keeps no file: nothing wrong ships."""
    files = () if status == "failed" else artifact.files
    return msgspec.structs.replace(artifact, status=status, reason=reason, parity=parity, files=files)
