"""Which of a bundle's artifacts are meant, and opening those that run here: the one way for every command."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..backends.base import BACKENDS, Backend
from ..errors import BundleError, ConfigError, EdgedistillError, MissingDependencyError, RefusedError
from ..precisions import find_precision
from ..targets import check_threads
from .opened import Bundle
from .records import Artifact


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
        asked = ", ".join(part for part in (*(names or ()), backend, precision) if part) or "anything"
        raise BundleError(f"{bundle.root}: holds no artifact for {asked}; it holds {listed}.")
    return chosen


def open_artifact(
    bundle: Bundle, artifact: Artifact, *, threads: int | None = None, device: str | None = None
) -> Backend:
    """Load an artifact's files into its backend.

    Args:
        bundle: where the files are.
        artifact: which.
        threads: intra-op threads, overriding the deploy config.
        device: the backend's device word, overriding the deploy config.

    Raises:
        BundleError: it was found wrong at export, a file is not what the manifest lists, or the library refuses it.
        MissingDependencyError: this machine, or this version of edgedistill, lacks what it needs.
        ConfigError: impossible threads, or a `device` that the backend does not know.
    """
    check_threads(threads)
    if absent := missing_files(artifact):
        raise absent
    backend = BACKENDS.find(artifact.backend)
    if backend is None or find_precision(artifact.precision) is None:
        what = f"backend {artifact.backend!r}" if backend is None else f"precision {artifact.precision!r}"
        raise MissingDependencyError(
            f"{artifact.name}: cannot run here: this edgedistill does not know the {what}. Upgrade it, or install the "
            "package that brings it."
        )
    target = artifact.target
    threads = target.threads if threads is None else threads
    try:
        return backend(bundle.model(artifact), threads=threads, device=device or target.device)
    except ConfigError as error:
        if device is not None:
            raise
        # Nobody here asked for the manifest's word: another version's, or a device of another machine.
        raise MissingDependencyError(f"{artifact.name}: cannot run here: {error}") from error


def try_artifact(
    bundle: Bundle, artifact: Artifact, *, threads: int | None = None, device: str | None = None
) -> Backend | NotRunnable:
    """The loaded backend, or why there is none: a value, so that one artifact's trouble hides no other's results."""
    try:
        return open_artifact(bundle, artifact, threads=threads, device=device)
    except EdgedistillError as error:
        return not_runnable(artifact.name, error, device=device)


def missing_files(artifact: Artifact) -> EdgedistillError | None:
    """Why there are no files to open, where the export left none: the one rule for every command.

    One that was built and found wrong is a failure here too (BundleError); a toolchain that was missing where it was
    exported is not (MissingDependencyError).
    """
    if artifact.files:
        return None
    kind = BundleError if artifact.parity is not None else MissingDependencyError
    return kind(f"{artifact.name}: not in the bundle: {artifact.reason or 'its export failed'}")


def not_runnable(name: str, error: EdgedistillError, *, device: str | None = None) -> NotRunnable:
    """What a report says of an artifact that could not be opened.

    Args:
        name: the artifact's, which the report names itself.
        error: what opening it raised.
        device: the word that the caller asked for; a backend that does not know it could not run, and did not fail.
    """
    asked = device is not None and isinstance(error, ConfigError)
    return NotRunnable(
        str(error).removeprefix(f"{name}: "), refused=not asked and not isinstance(error, MissingDependencyError)
    )


def nothing_ran(bundle: Bundle, failures: Mapping[str, NotRunnable]) -> EdgedistillError:
    """The error for a command that could run no artifact at all, with every reason."""
    reasons = " ".join(f"{name}: {failure.reason}" for name, failure in failures.items())
    kind = RefusedError if any(failure.refused for failure in failures.values()) else MissingDependencyError
    return kind(f"{bundle.root}: no artifact could be run here. {reasons}")
