"""`zip`: the bundle as one file, which every command reads in place."""

from pathlib import Path

from ...runtime.bundle import Bundle, zip_bundle
from ...runtime.files import atomic_path
from .base import PACKAGES


@PACKAGES.register("zip")
def package_zip(bundle: Bundle, out: Path) -> Path:
    """Write the .zip whole or not at all."""
    with atomic_path(out) as temporary:
        zip_bundle(bundle, temporary)
    return out
