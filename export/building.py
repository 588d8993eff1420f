"""Each target: convert, build, run, judge; several at once."""

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ..runtime.bundle import Artifact, Bundle, describe_file
from ..runtime.errors import EdgedistillError
from ..runtime.targets import Target
from .builders import BUILDERS
from .conversions import CONVERSIONS, Ingredients
from .errors import ExportError
from .jobs import run_jobs
from .proving import check_artifact


def needed_conversions(targets: Sequence[Target]) -> list[str]:
    """Names of the conversions that the targets are built from, each once."""
    return list(dict.fromkeys(BUILDERS.get(target.backend).conversion(target) for target in targets))


def build_artifacts(
    targets: Sequence[Target], ingredients: Ingredients, bundle: Bundle, begin: Callable[[str], None]
) -> tuple[Artifact, ...]:
    """One artifact for each target, in their order; `begin` is told of each, and of each conversion before."""
    CONVERSIONS.names()  # imports other distributions' modules, here and not in whichever thread is the first to ask
    by_backend: dict[str, list[Target]] = {}  # targets of one may share files
    for target in targets:
        by_backend.setdefault(target.backend, []).append(target)
    ingredients.trace()
    # Conversions first: a build that needs one which another job is at waits for it.
    converting = [partial(_convert, name, ingredients, begin) for name in needed_conversions(targets)]
    building = [partial(_build_each, some, ingredients, bundle, begin) for some in by_backend.values()]
    made = {artifact.name: artifact for artifacts in run_jobs([*converting, *building]) for artifact in artifacts}
    return tuple(made[target.name] for target in targets)


def _convert(name: str, ingredients: Ingredients, begin: Callable[[str], None]) -> list[Artifact]:
    begin(f"convert to {name}")
    with contextlib.suppress(EdgedistillError):  # it is remembered, and told of the targets that need it
        ingredients.get(name)
    return []


def _build_each(
    targets: Sequence[Target], ingredients: Ingredients, bundle: Bundle, begin: Callable[[str], None]
) -> list[Artifact]:
    made = []
    for target in targets:
        begin(f"build and check {target.name}")
        made.append(build_artifact(target, ingredients, bundle))
    return made


def build_artifact(target: Target, ingredients: Ingredients, bundle: Bundle) -> Artifact:
    """Build and check one target's artifact; what goes wrong is its status and reason, so that the others go on."""
    try:
        built = BUILDERS.get(target.backend)().build(target, ingredients)
    except EdgedistillError as error:
        return Artifact(name=target.name, target=target, files=(), status="failed", reason=str(error))
    artifact = Artifact(
        name=target.name,
        target=target,
        files=tuple(describe_file(path, bundle.root) for path in built.files),
        status="built_not_run",
        format=built.format,
        details=built.details,
    )
    return check_artifact(bundle, artifact, ingredients.probes, built)


def keep_listed_files(root: Path, artifacts: Sequence[Artifact]) -> None:
    """Remove the files of failed artifacts.

    Raises:
        ExportError: every artifact failed; gives each one's reason.
    """
    if not any(artifact.files for artifact in artifacts):
        names: dict[str, list[str]] = {}  # by reason: one that all share is told once
        for artifact in artifacts:
            names.setdefault(artifact.reason, []).append(artifact.name)
        reasons = "; ".join(f"{', '.join(named)}: {reason}" for reason, named in names.items())
        raise ExportError(f"no artifact could be built. {reasons}")
    listed = {root / entry.path for artifact in artifacts for entry in artifact.files}
    for folder in [path for path in root.iterdir() if path.is_dir() and path.name not in _PROOFS]:
        for path in sorted(folder.rglob("*"), reverse=True):
            if path.is_file() and path not in listed:
                path.unlink()
            elif path.is_dir() and not any(path.iterdir()):
                path.rmdir()
        if not any(folder.iterdir()):
            folder.rmdir()


_PROOFS = ("selftest", "reference")
