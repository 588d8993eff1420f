"""In the toolchain's environment: an exported PyTorch program as an .mlpackage."""

import json
import shutil
import uuid
from importlib import metadata
from pathlib import Path
from typing import Any

from .library import coremltools

# Core ML's own names for what a person sees in Xcode; the rest is `userDefined`.
_NOT_OURS = "com.github.apple.coremltools."


def write_mlpackage(
    program: str, out: str, image: dict[str, Any], outputs: list[str], wanted: dict[str, Any]
) -> dict[str, str]:
    """Write the package; returns the versions of what made it.

    Args:
        program: a .pt2 file whose batch is dynamic.
        out: of the .mlpackage, which is a folder.
        image: the graph's input: `name`, and `shape` with the batch first.
        outputs: names, in order.
        wanted: `precision` ("fp32" or "fp16"), `batch` ([smallest, usual, largest]), `as_image` (a picture, channels
            last, instead of an array), `target` (the oldest system, e.g. "iOS16"), `facts` for the model's metadata.
    """
    ct = coremltools()
    import numpy as np
    import torch

    smallest, usual, largest = wanted["batch"]
    batch = usual if smallest == largest else ct.RangeDim(smallest, largest, usual)
    shape = (batch, *image["shape"][1:])
    if wanted["as_image"]:
        takes = ct.ImageType(name=image["name"], shape=shape, color_layout="RGB", channel_first=False)
    else:
        takes = ct.TensorType(name=image["name"], shape=shape, dtype=np.float32)
    exported = torch.export.load(program).run_decompositions({})
    for node in exported.graph.nodes:
        if node.op == "placeholder" and node.name == image["name"]:
            node.meta["val"] = node.meta["val"].float()  # Core ML has no uint8; the program's first step is this cast
    model = ct.convert(
        exported,
        inputs=[takes],
        outputs=[ct.TensorType(name=name, dtype=np.float32) for name in outputs],
        convert_to="mlprogram",
        compute_precision={"fp32": ct.precision.FLOAT32, "fp16": ct.precision.FLOAT16}[wanted["precision"]],
        minimum_deployment_target=getattr(ct.target, wanted["target"]),
        skip_model_load=True,
    )
    for key in [key for key in model.user_defined_metadata if key.startswith(_NOT_OURS)]:
        del model.user_defined_metadata[key]  # a date among them: the same input gives the same file
    model.user_defined_metadata.update(wanted["facts"])
    model.save(out)
    _tidy(Path(out))
    return {name: metadata.version(name) for name in ("coremltools", "torch", "numpy")}


def _tidy(package: Path) -> None:
    """Leave what a Core ML package is made of, readable by all, with identifiers that do not change."""
    for stray in package.iterdir():
        if stray.name not in ("Data", "Manifest.json"):
            shutil.rmtree(stray) if stray.is_dir() else stray.unlink()
    listing = package / "Manifest.json"
    written = json.loads(listing.read_text(encoding="utf-8"))
    names = {key: str(uuid.uuid5(uuid.NAMESPACE_URL, entry["path"])) for key, entry in _entries(written)}
    written["itemInfoEntries"] = {names[key]: entry for key, entry in sorted(_entries(written), key=_path)}
    written["rootModelIdentifier"] = names[written["rootModelIdentifier"]]
    listing.write_text(json.dumps(written, indent=4), encoding="utf-8")
    for path in package.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _entries(listing: dict[str, Any]) -> list[tuple[str, dict[str, str]]]:
    return list(listing["itemInfoEntries"].items())


def _path(entry: tuple[str, dict[str, str]]) -> str:
    return entry[1]["path"]
