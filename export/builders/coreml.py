"""Core ML's packages, for iPhones, iPads and Macs: built anywhere, run by Apple's systems alone."""

import tempfile
from pathlib import Path

import msgspec
import numpy as np

from ...runtime.bundle import NO_SURROGATE, ExportParity
from ...runtime.targets import Target
from ..child import run_in_child
from ..conversions import Ingredients
from ..coreml.convert import write_mlpackage
from ..errors import ExportError
from ..proving import judge
from ..toolchains import toolchain_missing, toolchain_python
from .base import BUILDERS, Builder, Built

OLDEST_SYSTEM = "iOS16"  # macOS 13: the first with float16 inputs and outputs in programs


@BUILDERS.register("coreml")
class CoreMlBuilder(Builder):
    """An ML program, computed in float32 or float16; inputs and outputs are float32, or a picture.

    There is no int8: activations are quantised by running the model, which coremltools does on macOS alone.
    """

    precisions = {"fp32": "torch.exported", "fp16": "torch.exported"}

    @classmethod
    def toolchain_missing(cls, target: Target) -> str:
        return toolchain_missing("coreml")

    def build(self, target: Target, ingredients: Ingredients) -> Built:
        program = ingredients.get(self.conversion(target))
        python = toolchain_python("coreml")
        image, batch = ingredients.image, target.batch
        as_image = ingredients.input == "uint8_nhwc" and batch.fixed == 1
        package = ingredients.root / "coreml" / self.file_name(target, "mlpackage")
        package.parent.mkdir(exist_ok=True)
        made = ingredients.scratch / f"{target.name}.mlpackage"
        wanted = {
            "precision": target.precision,
            "batch": [batch.min, batch.typical, batch.max],
            "as_image": as_image,
            "target": OLDEST_SYSTEM,
            "facts": dict(ingredients.facts),
        }
        versions = run_in_child(
            write_mlpackage,
            *(program.path, made, {"name": image.name, "shape": image.shape}, ingredients.graph.output_names, wanted),
            what="coremltools cannot convert the graph",
            python=python,
        )
        surrogate, note = _surrogate(made, target, ingredients, python)
        if not package.exists():  # targets for several devices share it
            made.rename(package)
        files = sorted(
            (path for path in package.rglob("*") if path.is_file()), key=lambda path: path.suffix != ".mlmodel"
        )
        takes = _as_picture(image.shape) if as_image else f"float32 {image.shape}, the values of {image.dtype}"
        details = {"input": takes, "oldest_system": OLDEST_SYSTEM, **versions, **note, **program.details}
        return Built(tuple(files), "mlpackage", details, surrogate=surrogate)


def _as_picture(shape: tuple[int | str, ...]) -> str:
    return f"a picture (RGB pixel buffer) {shape[2]} wide and {shape[1]} high"


def _surrogate(
    package: Path, target: Target, ingredients: Ingredients, python: Path
) -> tuple[ExportParity | None, dict[str, str]]:
    """What the saved program computes, evaluated here; or why it was not, for the manifest.

    Raises:
        ExportError: it cannot be evaluated, or computes something else than the training framework.
    """
    from ..coreml.evaluate import evaluate

    probes = ingredients.probes
    rows = list(probes.rows(target.batch))
    with tempfile.TemporaryDirectory(prefix="edgedistill-") as folder:
        images, outputs = Path(folder, "images.npy"), Path(folder, "outputs.npz")
        np.save(images, probes.images)
        what = "the package's program cannot be evaluated"
        found = run_in_child(evaluate, package, images, rows, outputs, what=what, python=python)
        if "not_evaluated" in found:
            return None, {NO_SURROGATE: f"not evaluated: {found['not_evaluated']}"}
        runner = found["runner"]
        with np.load(outputs, allow_pickle=False) as stored:
            computed = dict(stored)
    difference = judge(computed, np.concatenate(rows), probes, target.precision)
    if difference.problem or difference.parity is None:
        raise ExportError(f"the package's program, evaluated here, is wrong: {difference.problem}.")
    return msgspec.structs.replace(difference.parity, runner=runner), {}
