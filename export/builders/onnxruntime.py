"""ONNX Runtime runs the ONNX file itself."""

import shutil

from ...runtime.targets import Target
from ..conversions import Ingredients
from .base import BUILDERS, Builder, Built


@BUILDERS.register("onnxruntime")
class OnnxRuntimeBuilder(Builder):
    """Ships the float32, float16 or int8 ONNX file, or what the mobile builds read (`format: ort`)."""

    precisions = {"fp32": "onnx.fp32", "fp16": "onnx.fp16", "int8": "onnx.int8.u8s8"}
    formats = {"ort": {"fp32": "ort.fp32", "int8": "ort.int8"}}

    def build(self, target: Target, ingredients: Ingredients) -> Built:
        source = ingredients.get(self.conversion(target))
        kind = target.format or "onnx"
        path = ingredients.root / kind / f"model.{target.precision}.{kind}"
        if not path.exists():  # targets for several devices share the file
            path.parent.mkdir(exist_ok=True)
            shutil.copyfile(source.path, path)
        return Built((path,), kind, source.details)
