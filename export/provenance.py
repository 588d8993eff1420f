"""Where a bundle comes from."""

from datetime import datetime, timezone

from .. import __version__
from ..distill.checkpoint import Student
from ..runtime.bundle import Provenance
from .toolchain import installed_toolchain


def make_provenance(student: Student, request: str = "") -> Provenance:
    """The student's origin and the versions of everything that had a hand in the artifacts.

    Args:
        student: what is exported.
        request: see `repeating.request_digest`.
    """
    return Provenance(
        edgedistill=__version__,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        model=student.card.model.name,
        checkpoint_sha256=student.sha256,
        recipe_sha256=student.card.recipe_sha256,
        request_sha256=request,
        toolchain=installed_toolchain(),
    )
