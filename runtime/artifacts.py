"""Which of a bundle's artifacts are meant, and opening those that this machine can run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .bundle import Artifact, Bundle
from .errors import BundleError, EdgedistillError, MissingDependencyError
from .predictor import Predictor, load


@dataclass(frozen=True)
class NotRunnable:
    """Why an artifact does not run here; `refused` when the fault is the artifact's, not the machine's."""

    reason: str
    refused: bool


def select_artifacts(
    bundle: Bundle,
    names: Sequence[str] | None = None,
    backend: str | None = None,
    precision: str | None = None,
) -> list[Artifact]:
    """The artifacts that match, in the manifest's order, those whose export failed included.

    Raises:
        BundleError: an unknown name, or nothing matches; lists what the bundle holds.
    """
    held = bundle.manifest.artifacts
    listed = ", ".join(artifact.name for artifact in held) or "nothing"
    for name in names or ():
        if name not in {artifact.name for artifact in held}:
            raise BundleError(f"{bundle.root}: holds no artifact {name!r}; it holds {listed}.")
    chosen = [
        artifact
        for artifact in held
        if (names is None or artifact.name in names)
        and backend in (None, artifact.backend)
        and precision in (None, artifact.precision)
    ]
    if not chosen:
        asked = ", ".join(part for part in (backend, precision) if part) or "anything"
        raise BundleError(f"{bundle.root}: holds no artifact for {asked}; it holds {listed}.")
    return chosen


def open_artifact(bundle: Bundle, artifact: Artifact, *, threads: int | None = None) -> Predictor | NotRunnable:
    """A predictor, or why there is none: a value, so that one artifact's trouble does not hide the others' results."""
    if not artifact.files:
        # One that was built and found wrong is a failure here too; a toolchain that was missing is not.
        wrong = artifact.parity is not None
        return NotRunnable(f"not in the bundle: {artifact.reason or 'its export failed'}", refused=wrong)
    try:
        return load(bundle, name=artifact.name, threads=threads)
    except EdgedistillError as error:
        reason = str(error).removeprefix(f"{artifact.name}: ")  # the report names the artifact itself
        return NotRunnable(reason, refused=isinstance(error, BundleError))


def nothing_ran(bundle: Bundle, failures: Mapping[str, NotRunnable]) -> EdgedistillError:
    """The error for a command that could run no artifact at all, with every reason."""
    reasons = "; ".join(f"{name}: {failure.reason}" for name, failure in failures.items())
    kind = BundleError if any(failure.refused for failure in failures.values()) else MissingDependencyError
    return kind(f"{bundle.root}: no artifact could be run here. {reasons}")
