"""`cpp`: a C++17 library with its example, and the artifacts that it runs: `cmake -B build && cmake --build build`."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from ...runtime.bundle import Bundle
from .base import PACKAGES
from .contents import choose_artifacts, table, write_contents
from .template import copy_templates

KIND = "cpp"
BUNDLE = "bundle"
# What it was written for and reads from memory, by backend.
FORMATS = {"openvino": ("openvino-ir",), "onnxruntime": ("onnx", "ort")}


@PACKAGES.register(KIND)
def package_cpp(bundle: Bundle, out: Path, *, artifacts: Sequence[str] | None = None) -> Path:
    """Write CMakeLists.txt, README.md, include/, src/, example/ and bundle/ below `out`.

    Args:
        bundle: from a folder or a .zip.
        out: the folder; nothing is there yet.
        artifacts: names of those to take along; by default all that the library runs.

    Raises:
        BundleError: there is no such artifact, or a file is not what the manifest lists.
        ConfigError: the library does not run an artifact that was named, or there is none that it runs.
    """
    chosen = choose_artifacts(bundle, KIND, artifacts, formats=FORMATS, target="openvino-cpu-fp32")
    manifest = bundle.manifest
    backends = {artifact.backend for artifact in chosen}
    height, width = manifest.preprocessing.size
    values = {
        "name": manifest.name,
        "classes": len(manifest.classes),
        "height": height,
        "width": width,
        "resize": manifest.preprocessing.resize,
        "interpolation": manifest.preprocessing.interpolation,
        "artifacts": table(chosen),
        "photograph": shlex.quote(f"{BUNDLE}/{manifest.selftest[0].file.path}" if manifest.selftest else "photo.jpg"),
        # Whoever has both needs only one: OpenVINO's package comes with pip, headers and all.
        "openvino": _switch("openvino" in backends),
        "onnxruntime": _switch("openvino" not in backends),
    }
    copy_templates(KIND, out, values)
    write_contents(bundle, chosen, out / BUNDLE)
    return out


def _switch(on: bool) -> str:
    return "ON" if on else "OFF"
