"""`node`: a folder for Node.js: the JavaScript module, the bundle's part that onnxruntime-node runs, and an example."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from ...runtime.bundle import Artifact, Bundle
from .base import PACKAGES
from .contents import choose_artifacts, write_contents
from .template import copy_templates

MODULE = "edgedistill"
BUNDLE = "bundle"


@PACKAGES.register("node")
def package_node(bundle: Bundle, out: Path, artifacts: Sequence[str] | None = None) -> Path:
    """Write the folder; `npm install` in it brings onnxruntime-node and the decoder.

    Args:
        bundle: from a folder or a .zip.
        out: is made.
        artifacts: names; default: all that onnxruntime runs. The first is what the example loads.

    Raises:
        ConfigError: none of the artifacts is one of onnxruntime.
        BundleError: no such artifact, or a file is not what the manifest lists.
    """
    chosen = javascript_artifacts(bundle, "node", artifacts)
    copy_templates("javascript", out / MODULE, {})
    copy_templates("node", out, values(bundle, chosen))
    write_contents(bundle, chosen, out / BUNDLE)
    return out


def javascript_artifacts(bundle: Bundle, kind: str, names: Sequence[str] | None) -> list[Artifact]:
    """Those that onnxruntime's JavaScript packages run."""
    return choose_artifacts(
        bundle,
        kind,
        names,
        formats={"onnxruntime": ("onnx", "ort")},
        target="onnxruntime-cpu-fp32",
        devices=("cpu", "wasm", "webgpu"),
    )


def values(bundle: Bundle, artifacts: Sequence[Artifact]) -> dict[str, object]:
    """What the templates of the JavaScript kinds are filled in with."""
    names = [artifact.name for artifact in artifacts]
    return {
        "name": bundle.manifest.name,
        "package": npm_name(bundle.manifest.name),
        "count": len(bundle.manifest.classes),
        "artifact": names[0],
        "quoted": json.dumps(names[0]),
        "artifacts": ", ".join(json.dumps(name) for name in names),
        "listed": "the artifact " * (len(names) == 1) + " and ".join(names) + "'s file" * (len(names) == 1),
    }


def npm_name(name: str) -> str:
    """A name that npm takes for a package, whatever the bundle's is."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower(), flags=re.ASCII).strip("-")[:200] or "bundle"
