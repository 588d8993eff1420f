"""example.py of a bundle: from a photograph to labels with numpy, Pillow and one backend, and nothing of ours."""

from ..runtime.bundle import Artifact, Manifest
from ..runtime.precisions import precision_of

EXAMPLE = "example.py"

# How each library computes logits (N, C) of `batch`; the rest of the script is the same for all.
_RUNNING = {
    "onnxruntime": """\
session = onnxruntime.InferenceSession(str(here / "{file}"))
logits = session.run(["logits"], {{"{input}": batch}})[0]""",
    "openvino": """\
network = openvino.compile_model(str(here / "{file}"), "CPU", {{"INFERENCE_PRECISION_HINT": "{hint}"}})
logits = network(batch)["logits"]""",
    "litert": """\
network = ai_edge_litert.interpreter.Interpreter(str(here / "{file}"))
logits = network.get_signature_runner()({input}=batch)["logits"]""",
}
_IMPORTS = {"onnxruntime": "onnxruntime", "openvino": "openvino", "litert": "ai_edge_litert.interpreter"}
PACKAGES = {"onnxruntime": "onnxruntime", "openvino": "openvino", "litert": "ai-edge-litert"}

_SCRIPT = '''\
"""Labels of a photograph with numpy, Pillow and {package} alone: python {example} [photo.jpg]"""

import json
import sys
from pathlib import Path

import {module}
import numpy as np
from PIL import Image, ImageOps

here = Path(__file__).parent
manifest = json.loads((here / "manifest.json").read_text(encoding="utf-8"))
artifact = next(one for one in manifest["artifacts"] if one["name"] == "{artifact}")
point = artifact["operating_point"] or {{"temperature": 1.0, "thresholds": manifest["thresholds"]}}

photo = sys.argv[1] if len(sys.argv) > 1 else here / "{sample}"
image = ImageOps.exif_transpose(Image.open(photo)).convert("RGB")
image = {resized}
batch = {batch}
{running}

for name, logit, threshold in zip(manifest["classes"], logits[0], point["thresholds"]):
    probability = 1 / (1 + np.exp(-logit / point["temperature"]))
    if probability >= threshold:
        print(f"{{name}}: {{probability:.2f}}")
'''


def example_artifact(manifest: Manifest) -> Artifact | None:
    """What the script runs: the first artifact that ran here, on a CPU and in float before others; None for none."""
    usable = [one for one in manifest.artifacts if one.status == "verified" and one.backend in _RUNNING]
    order = sorted(usable, key=lambda one: (one.target.device != "cpu", precision_of(one.precision).quantised))
    return order[0] if order else None


def example_script(manifest: Manifest, artifact: Artifact) -> str:
    """The script's text.

    Args:
        manifest: with at least one golden image, the photograph that is taken when none is given.
        artifact: from `example_artifact`.
    """
    (height, width), filter = manifest.preprocessing.size, manifest.preprocessing.interpolation.upper()
    running = _RUNNING[artifact.backend].format(
        file=artifact.files[0].path,
        input=manifest.inputs[0].name,
        hint="bf16" if artifact.precision == "bf16" else "f32",
    )
    return _SCRIPT.format(
        package=PACKAGES[artifact.backend],
        module=_IMPORTS[artifact.backend],
        example=EXAMPLE,
        artifact=artifact.name,
        sample=manifest.selftest[0].file.path,
        resized=(
            f"ImageOps.fit(image, ({width}, {height}), Image.Resampling.{filter})"
            if manifest.preprocessing.resize == "center_crop"
            else f"image.resize(({width}, {height}), Image.Resampling.{filter})"
        ),
        batch=_batch(manifest, artifact.target.batch.min),
        running=running,
    )


def _batch(manifest: Manifest, least: int) -> str:
    """The expression of what the graph takes."""
    if manifest.input == "uint8_nhwc":
        one = "np.asarray(image)[None]"
    else:
        mean, std = manifest.preprocessing.mean, manifest.preprocessing.std
        one = (
            f"((np.asarray(image, np.float32) / 255 - np.float32({list(mean)})) / np.float32({list(std)}))"
            ".transpose(2, 0, 1)[None]"
        )
    return one if least == 1 else f"np.repeat({one}, {least}, axis=0)  # it takes {least} images at least"
