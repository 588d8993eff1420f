"""Where a bundle comes from."""

from datetime import datetime, timezone
from importlib import metadata

from .. import __version__
from ..distill.checkpoint import Student
from ..runtime.backends.base import recorded_distributions
from ..runtime.bundle import Provenance

# Distribution names: with the backends' own they decide what the artifacts look like.
_TOOLCHAIN = ("torch", "torchvision", "timm", "onnx", "onnxscript", "onnxsim", "Pillow", "numpy")


def make_provenance(student: Student) -> Provenance:
    """The student's origin and the versions of everything that had a hand in the artifacts."""
    return Provenance(
        edgedistill=__version__,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        model=student.card.model.name,
        checkpoint_sha256=student.sha256,
        recipe_sha256=student.card.recipe_sha256,
        toolchain=_installed(),
    )


def _installed() -> dict[str, str]:
    return {name: version for name in (*_TOOLCHAIN, *recorded_distributions()) if (version := _version(name))}


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
