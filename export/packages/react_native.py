"""`react_native`: an Expo project in TypeScript, with the JavaScript module and the bundle in its assets."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from ...runtime.bundle import Bundle
from .base import PACKAGES
from .contents import write_contents
from .javascript import write_module
from .phone import phone_artifacts, phone_values
from .template import copy_templates

KIND = "react_native"


@PACKAGES.register(KIND)
def package_react_native(bundle: Bundle, out: Path, *, artifacts: Sequence[str] | None = None) -> Path:
    """Write the project.

    The bundle's files have numbers for names: Metro and Android make others of paths, and change images and JSON.

    Args:
        bundle: opened.
        out: where nothing is yet.
        artifacts: those that the app is to have; by default those for a CPU that it can run.

    Raises:
        BundleError: no such artifact, or a file is not what the manifest lists.
        ConfigError: the app can run none of the artifacts.
    """
    chosen = phone_artifacts(bundle, KIND, artifacts)
    written = out / "bundle"
    paths = write_contents(bundle, chosen, written)
    (out / "assets").mkdir()
    for number, path in enumerate(paths):
        (written / path).rename(out / "assets" / f"{number}.bin")
    shutil.rmtree(written)
    files = [f'  {json.dumps(path)}: require("./assets/{number}.bin"),' for number, path in enumerate(paths)]
    copy_templates(KIND, out, {**phone_values(bundle, chosen), "files": "\n".join(files)})
    write_module(out)
    return out
