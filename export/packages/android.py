"""`android`: a Gradle project in Kotlin, with the bundle in its assets.

ONNX Runtime runs it and not LiteRT: every bundle can have an ONNX or ORT file, which takes the resized pixels as they
are and whose int8 accuracy was measured with the same library; a .tflite file takes a toolchain of its own.
"""

from collections.abc import Sequence
from pathlib import Path

from ...runtime.bundle import Bundle
from .base import PACKAGES
from .phone import write_phone_app


@PACKAGES.register("android")
def package_android(bundle: Bundle, out: Path, *, artifacts: Sequence[str] | None = None) -> Path:
    """Write the project; see `write_phone_app`."""
    return write_phone_app("android", bundle, out, assets="app/src/main/assets", artifacts=artifacts)
