"""`cpp`: a C++17 library with its example, and the artifacts that it runs: `cmake -B build && cmake --build build`."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from ...runtime.bundle import Artifact, Bundle
from ...runtime.bundle.selection import select_artifacts
from ...runtime.errors import ConfigError
from .base import PACKAGES
from .contents import format_of, write_contents
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
    chosen = _chosen(bundle, artifacts)
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
        "artifacts": "\n".join(
            f"    {one.name:<28} {one.backend:<12} {one.precision:<5} {one.size:>12,} bytes" for one in chosen
        ),
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


def _chosen(bundle: Bundle, names: Sequence[str] | None) -> list[Artifact]:
    """The artifacts that the library runs, in the manifest's order."""
    asked = select_artifacts(bundle, names) if names else list(bundle.manifest.artifacts)
    fit = [
        one for one in asked if one.files and one.status != "failed" and format_of(one) in FORMATS.get(one.backend, ())
    ]
    for one in asked:
        if names and one not in fit:
            raise ConfigError(
                f"{one.name}: {KIND!r} runs artifacts of {' and '.join(FORMATS)}; this one is of {one.backend}, "
                f"{one.status.replace('_', ' ')}."
            )
    if not fit:
        held = ", ".join(f"{one.name} ({one.backend})" for one in asked) or "nothing"
        raise ConfigError(
            f"{bundle.root}: no artifact for {KIND!r}, which runs those of {' and '.join(FORMATS)}; it holds {held}. "
            "Export one with `--target openvino-cpu-fp32`."
        )
    return fit
