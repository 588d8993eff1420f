"""`web`: an installable page for any static host, which works without a network: see docs/web.md."""

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from ...runtime.bundle import Bundle
from ...runtime.formatting import size
from .base import PACKAGES
from .contents import write_contents
from .javascript import BUNDLE, MODULE, javascript_artifacts, javascript_values, write_module
from .npm_package import npm_files
from .template import copy_templates

ONNXRUNTIME = "1.30.0"  # of onnxruntime-web
_ORT = "ort"
_CPU = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
_GPU = ("ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm")
_OF_THE_MODULE = ("LICENSE", "index.d.ts", "node.d.ts", "node.js", "package.json")
_UNUSED = ("README.md", *(f"{MODULE}/{name}" for name in _OF_THE_MODULE))  # by the page
_WORKER = "sw.js"
_AS_IN_A_URL = "/!*'()"  # what JavaScript's encodeURIComponent leaves as it is


@PACKAGES.register("web")
def package_web(bundle: Bundle, out: Path, artifacts: Sequence[str] | None = None, assets: Path | None = None) -> Path:
    """Write the site.

    Args:
        bundle: from a folder or a .zip.
        out: is made.
        artifacts: names; default: all that onnxruntime runs. The page begins with the manifest's first of them.
        assets: where onnxruntime-web lies; see `npm_files`.

    Raises:
        ConfigError: none of the artifacts is one of onnxruntime, or `assets` lacks a file.
        BundleError: no such artifact, or a file is not what the manifest lists.
        MissingDependencyError: onnxruntime-web cannot be had here.
    """
    chosen = javascript_artifacts(bundle, "web", artifacts)
    library = npm_files("onnxruntime-web", ONNXRUNTIME, [f"dist/{name}" for name in (*_CPU, *_GPU)], assets)
    filled = {**javascript_values(bundle, chosen), "version_of_ort": ONNXRUNTIME}
    write_module(out)
    write_contents(bundle, chosen, out / BUNDLE)
    (out / _ORT).mkdir()
    for name in (*_CPU, *_GPU):
        (out / _ORT / name).write_bytes((library / "dist" / name).read_bytes())
    (out / "app.json").write_text(json.dumps({"artifacts": [one.name for one in chosen]}))
    # What the worker and the README say of the files depends on the files.
    later = [f"{_ORT}/{name}" for name in _GPU]
    for _ in range(2):
        copy_templates("web", out, {**filled, **_kept(out, later)})
    return out


def _kept(out: Path, later: Sequence[str]) -> dict[str, object]:
    """What the service worker keeps, and its version: a hash of all of it."""
    data = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    first = sorted(set(data) - {_WORKER, *_UNUSED, *later})
    digest = hashlib.sha256()
    for path in (*first, *later):
        digest.update(f"{path}\n".encode() + hashlib.sha256(data[path]).digest())

    def listed(names: Sequence[str]) -> str:
        return json.dumps(
            [[quote(name, safe=_AS_IN_A_URL), len(data[name]), _integrity(name, data[name])] for name in names]
        )

    def total(names: Sequence[str]) -> str:
        return size(sum(len(data[name]) for name in names))

    return {
        "first": listed(first),
        "later": listed(later),
        "version": digest.hexdigest()[:16],
        "first_size": total(first),
        "later_size": total(later),
        "ort_size": total([f"{_ORT}/{name}" for name in _CPU]),
    }


def _integrity(name: str, data: bytes) -> str:
    """As `fetch` takes it. Hosts write scripts of their own into pages, so those may be others."""
    return "" if name.endswith(".html") else "sha256-" + base64.b64encode(hashlib.sha256(data).digest()).decode()
