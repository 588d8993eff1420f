"""`toy_labels`: the class names, one a line, for an app that wants no JSON."""

from pathlib import Path

from edgedistill.export.packages.base import PACKAGES
from edgedistill.runtime.bundle import Bundle
from edgedistill.runtime.files import write_atomic


@PACKAGES.register("toy_labels")
def package_labels(bundle: Bundle, out: Path) -> Path:
    write_atomic(out, "\n".join(bundle.manifest.classes) + "\n")
    return out
