"""OpenVINO's intermediate representation (IR)."""

from collections.abc import Mapping
from typing import Any

from ...runtime.errors import MissingDependencyError
from ...runtime.targets import Target
from ..conversions import Ingredients
from ..errors import ExportError, one_line
from .base import BUILDERS, Builder, Built


@BUILDERS.register("openvino")
class OpenVinoBuilder(Builder):
    """Converts the float32 or int8 ONNX file.

    bf16 is a mode of execution: such a target shares the fp32 file. For fp16 the weights are stored in float16.
    """

    precisions = {**dict.fromkeys(("fp32", "fp16", "bf16"), "onnx.fp32"), "int8": "onnx.int8.u8s8"}

    def build(self, target: Target, ingredients: Ingredients) -> Built:
        try:
            import openvino
        except ImportError as error:
            raise MissingDependencyError('openvino is not installed: `pip install "edgedistill[openvino]"`.') from error
        source = ingredients.get(self.conversion(target))
        stored = "fp32" if target.precision == "bf16" else target.precision
        path = ingredients.root / "openvino" / f"model.{stored}.xml"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            try:
                model = openvino.convert_model(source.path)
                _write_facts(model, ingredients.facts)
                openvino.save_model(model, path, compress_to_fp16=stored == "fp16")
            except Exception as error:  # its frontends raise types of their own
                path.unlink(missing_ok=True)
                raise ExportError(f"OpenVINO cannot convert the graph: {one_line(error)}") from error
        return Built((path, path.with_suffix(".bin")), "openvino-ir", source.details)


def _write_facts(model: Any, facts: Mapping[str, str]) -> None:
    """Into the .xml's `rt_info`, a section for each prefix; what its reader took over from the ONNX file goes."""
    if "framework" in model.rt_info:
        del model.rt_info["framework"]
    for key, value in facts.items():
        model.set_rt_info(value, key.split(".", 1))
