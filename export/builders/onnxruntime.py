"""ONNX Runtime runs the ONNX file itself."""

import shutil

from ...runtime.targets import Target
from ..conversions import Ingredients
from .base import BUILDERS, Builder, Built


@BUILDERS.register("onnxruntime")
class OnnxRuntimeBuilder(Builder):
    """Ships the float32, float16 or int8 ONNX file."""

    precisions = {"fp32": "onnx.fp32", "fp16": "onnx.fp16", "int8": "onnx.int8.u8s8"}

    def build(self, target: Target, ingredients: Ingredients) -> Built:
        source = ingredients.get(self.precisions[target.precision])
        path = ingredients.root / "onnx" / f"model.{target.precision}.onnx"
        if not path.exists():  # targets for several devices share the file
            path.parent.mkdir(exist_ok=True)
            shutil.copyfile(source.path, path)
        return Built((path,), "onnx", source.details)
