"""Where a bundle comes from."""

from datetime import datetime, timezone

from .. import __version__
from ..runtime.bundle import Provenance
from .sources.base import Source
from .toolchains.installed import installed_toolchain


def make_provenance(source: Source, request: str = "") -> Provenance:
    """The network's origin and the versions of everything that had a hand in the artifacts.

    Args:
        source: what is exported.
        request: see `repeating.request_digest`.
    """
    return Provenance(
        edgedistill=__version__,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        model=source.card.model,
        checkpoint_sha256=source.card.sha256,
        recipe_sha256=source.card.recipe_sha256,
        framework=source.framework,
        request_sha256=request,
        toolchain=installed_toolchain(),
    )
