"""ONNX Runtime runs the ONNX file itself, or its own format."""

import shutil

from ...runtime.targets import Target
from ..conversions import Ingredients
from ..conversions.fixed_batch import of_batch
from .base import BUILDERS, Builder, Built
from .ort_format import to_ort


@BUILDERS.register("onnxruntime")
class OnnxRuntimeBuilder(Builder):
    """Ships the float32, float16 or int8 ONNX file, or what the mobile builds read (`format: ort`)."""

    precisions = {"fp32": "onnx.fp32", "fp16": "onnx.fp16", "int8": "onnx.int8.u8s8"}
    formats = {"ort": {"fp32": "onnx.fp32", "int8": "onnx.int8.u8s8"}}
    of_7_bits = {"onnx.int8.u8s8": "onnx.int8.u8s7"}

    def build(self, target: Target, ingredients: Ingredients) -> Built:
        source = of_batch(ingredients, self.conversion(target), target.batch.fixed)
        kind = target.format or "onnx"
        path = ingredients.root / kind / self.file_name(target, kind)
        if kind == "ort":
            folder = ingredients.scratch / path.name
            onnx = source
            source = ingredients.once(path.name, lambda: to_ort(onnx, folder))
        if not path.exists():  # targets for several devices share the file
            path.parent.mkdir(exist_ok=True)
            shutil.copyfile(source.path, path)
        return Built((path,), kind, source.details)
