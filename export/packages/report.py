"""`report`: the bundle as one page for people.

The page itself is made in runtime/report: it says what devices found, and is made on them too, where no torch is.
"""

from pathlib import Path

from ...runtime.bundle import Bundle
from ...runtime.report import write_report
from .base import PACKAGES


@PACKAGES.register("report")
def package_report(bundle: Bundle, out: Path) -> Path:
    """Write the page whole or not at all."""
    return write_report(bundle, out)
