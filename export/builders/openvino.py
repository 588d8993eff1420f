"""OpenVINO's intermediate representation (IR)."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...runtime.errors import MissingDependencyError
from ...runtime.targets import Target
from ..child import run_in_child
from ..conversions import Ingredients
from ..conversions.fixed_batch import of_batch
from .base import BUILDERS, Builder, Built


@BUILDERS.register("openvino")
class OpenVinoBuilder(Builder):
    """Converts the float32 or int8 ONNX file.

    bf16 is a mode of execution: such a target shares the fp32 file. For fp16 the weights are stored in float16.
    """

    precisions = {**dict.fromkeys(("fp32", "fp16", "bf16"), "onnx.fp32"), "int8": "onnx.int8.u8s8"}
    of_7_bits = {"onnx.int8.u8s8": "onnx.int8.u8s7"}

    @classmethod
    def toolchain_missing(cls, target: Target) -> str:
        return "" if find_spec("openvino") else 'openvino is not installed: `pip install "edgedistill[openvino]"`.'

    def build(self, target: Target, ingredients: Ingredients) -> Built:
        if missing := self.toolchain_missing(target):
            raise MissingDependencyError(missing)
        source = of_batch(ingredients, self.conversion(target), target.batch.fixed)
        stored = "fp32" if target.precision == "bf16" else target.precision
        path = ingredients.root / "openvino" / self.file_name(target, "xml", stored)
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            made = ingredients.scratch / path.name  # a crash half-way leaves nothing that the next target would share
            what = "OpenVINO cannot convert the graph"
            run_in_child(write_ir, source.path, made, stored == "fp16", dict(ingredients.facts), what=what)
            made.with_suffix(".bin").rename(path.with_suffix(".bin"))
            made.rename(path)
        return Built((path, path.with_suffix(".bin")), "openvino-ir", source.details)


def write_ir(source: str, out: str, compress_to_fp16: bool, facts: Mapping[str, str]) -> None:
    """In the child: the ONNX file `source` as `out` and its .bin, with what it says of itself."""
    import openvino

    model = openvino.convert_model(source)
    _write_facts(model, facts)
    openvino.save_model(model, Path(out), compress_to_fp16=compress_to_fp16)


def _write_facts(model: Any, facts: Mapping[str, str]) -> None:
    """Into the .xml's `rt_info`, a section for each prefix; what its reader took over from the ONNX file goes."""
    if "framework" in model.rt_info:
        del model.rt_info["framework"]
    for key, value in facts.items():
        model.set_rt_info(value, key.split(".", 1))
