"""`ios`: an Xcode project in Swift, with a package that does the work and the bundle in its assets.

ONNX Runtime runs it and not Core ML: the file that was verified runs on the phone too, with its own thresholds, where a
Core ML package can only be built here and is proven on a Mac.
"""

from collections.abc import Sequence
from pathlib import Path

from ...runtime.bundle import Bundle
from .base import PACKAGES
from .phone import write_phone_app


@PACKAGES.register("ios")
def package_ios(bundle: Bundle, out: Path, *, artifacts: Sequence[str] | None = None) -> Path:
    """Write the project; see `write_phone_app`."""
    return write_phone_app("ios", bundle, out, assets="App/Assets", artifacts=artifacts)
