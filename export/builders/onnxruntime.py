"""ONNX Runtime runs the ONNX file itself."""

import shutil

from ...runtime.targets import Target
from .base import BUILDERS, Builder, Built, Ingredients


@BUILDERS.register("onnxruntime")
class OnnxRuntimeBuilder(Builder):
    """Ships the float32 or float16 ONNX file."""

    precisions = ("fp32", "fp16")

    def build(self, target: Target, ingredients: Ingredients) -> Built:
        path = ingredients.root / "onnx" / f"model.{target.precision}.onnx"
        if not path.exists():  # targets for several devices share the file
            path.parent.mkdir(exist_ok=True)
            shutil.copyfile(ingredients.onnx(target.precision), path)
        return Built((path,), ingredients.graph.details)
