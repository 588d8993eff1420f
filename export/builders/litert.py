"""LiteRT (TensorFlow Lite)."""

import shutil

from ...runtime.errors import ConfigError
from ...runtime.targets import Target
from ..conversions import Ingredients
from ..toolchains import toolchain_missing
from .base import BUILDERS, Builder, Built


@BUILDERS.register("litert")
class LiteRtBuilder(Builder):
    """Ships the float32 or int8 .tflite file."""

    precisions = {"fp32": "tflite.fp32", "int8": "tflite.int8"}

    @classmethod
    def conversion(cls, target: Target) -> str:
        if target.batch.fixed != 1:
            raise ConfigError(
                f"{target.name}: a .tflite file takes one image at a time: write "
                "`batch: {min: 1, typical: 1, max: 1}` in the deploy config."
            )
        return super().conversion(target)

    @classmethod
    def toolchain_missing(cls, target: Target) -> str:
        return toolchain_missing("litert")

    def build(self, target: Target, ingredients: Ingredients) -> Built:
        source = ingredients.get(self.conversion(target))
        path = ingredients.root / "litert" / self.file_name(target, "tflite")
        if not path.exists():  # targets for several devices share the file
            path.parent.mkdir(exist_ok=True)
            shutil.copyfile(source.path, path)
        return Built((path,), "tflite", source.details)
