"""Core ML's packages, for iPhones, iPads and Macs: built anywhere, run by Apple's systems alone."""

import shutil
from pathlib import Path
from typing import Any

from ...runtime.targets import Target
from ..child import run_in_child
from ..conversions import Ingredients
from ..coreml.convert import write_mlpackage
from ..toolchains import toolchain_missing, toolchain_python
from .base import BUILDERS, Builder, Built, Evaluation

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
        if not package.exists():  # targets for several devices share it
            shutil.copytree(made, package)  # and not renamed: coremltools writes into a package that it reads
        files = sorted(
            (path for path in package.rglob("*") if path.is_file()), key=lambda path: path.suffix != ".mlmodel"
        )
        takes = _as_picture(image.shape) if as_image else f"float32 {image.shape}, the values of {image.dtype}"
        details = {"input": takes, "oldest_system": OLDEST_SYSTEM, **versions, **program.details}
        return Built(tuple(files), "mlpackage", details, evaluation=_evaluated(made, python))


def _as_picture(shape: tuple[int | str, ...]) -> str:
    return f"a picture (RGB pixel buffer) {shape[2]} wide and {shape[1]} high"


def _evaluated(package: Path, python: Path) -> Evaluation:
    """What the saved program computes, evaluated here operator by operator."""

    def run(images: Path, rows: list[list[int]], outputs: Path) -> dict[str, Any]:
        from ..coreml.evaluate import evaluate

        what = "it cannot be evaluated"
        found: dict[str, Any] = run_in_child(evaluate, package, images, rows, outputs, what=what, python=python)
        return found

    return Evaluation("the package's program, evaluated here", run)
