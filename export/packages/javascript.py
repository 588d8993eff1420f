"""What the kinds in JavaScript share: the module, which artifacts it runs, what their templates are filled in with."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from ... import __version__
from ...runtime.bundle import Artifact, Bundle
from .contents import choose_artifacts
from .template import copy_templates

MODULE = "edgedistill"
BUNDLE = "bundle"


def write_module(out: Path) -> None:
    """Write the module's folder into `out`."""
    copy_templates("javascript", out / MODULE, {"version": __version__})


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


def javascript_values(bundle: Bundle, artifacts: Sequence[Artifact]) -> dict[str, object]:
    """What the templates of `node` and `web` are filled in with."""
    name, names = bundle.manifest.name or "Classifier", [artifact.name for artifact in artifacts]
    return {
        "name": name,
        "package": npm_name(name),
        "count": len(bundle.manifest.classes),
        "artifact": names[0],
        "quoted": json.dumps(names[0]),
        "artifacts": ", ".join(json.dumps(name) for name in names),
        "listed": ", ".join(names),
    }


def npm_name(name: str) -> str:
    """A name that npm takes for a package, whatever the bundle's is."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower(), flags=re.ASCII).strip("-")[:200] or "bundle"
