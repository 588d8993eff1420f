"""`zip`: the bundle as one file, which every command reads in place."""

from pathlib import Path

from ...runtime.bundle import Bundle, zip_bundle
from ...runtime.files import atomic_path
from ..replaceable import refuse_foreign_zip, zip_beside
from .base import PACKAGES


@PACKAGES.register("zip")
def package_zip(bundle: Bundle, out: Path) -> Path:
    """Write the .zip whole or not at all."""
    with atomic_path(out) as temporary:
        zip_bundle(bundle, temporary)
    return out


def pack_beside(bundle: Bundle, out: Path) -> Path:
    """Write `<out>.zip`, in the place of a bundle's or of nothing.

    Raises:
        ExportError: something else stands there.
    """
    refuse_foreign_zip(out)
    return package_zip(bundle, zip_beside(out))
