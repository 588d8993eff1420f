"""`node`: a folder for Node.js: the JavaScript module, the bundle's part that onnxruntime-node runs, and an example."""

from collections.abc import Sequence
from pathlib import Path

from ...runtime.bundle import Bundle
from .base import PACKAGES
from .contents import write_contents
from .javascript import BUNDLE, javascript_artifacts, javascript_values, write_module
from .template import copy_templates


@PACKAGES.register("node")
def package_node(bundle: Bundle, out: Path, artifacts: Sequence[str] | None = None) -> Path:
    """Write the folder; `npm install` in it brings onnxruntime-node and the decoder.

    Args:
        bundle: from a folder or a .zip.
        out: is made.
        artifacts: names; default: all that onnxruntime runs. The manifest's first of them is what the example loads.

    Raises:
        ConfigError: none of the artifacts is one of onnxruntime.
        BundleError: no such artifact, or a file is not what the manifest lists.
    """
    chosen = javascript_artifacts(bundle, "node", artifacts)
    write_module(out)
    copy_templates("node", out, javascript_values(bundle, chosen))
    write_contents(bundle, chosen, out / BUNDLE)
    return out
