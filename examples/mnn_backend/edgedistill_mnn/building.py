"""`mnn.fp32`, the ONNX file as MNN reads it, and the builder that ships it."""

import shutil
from importlib.util import find_spec

from edgedistill.export.builders.base import BUILDERS, Builder, Built
from edgedistill.export.child import run_in_child
from edgedistill.export.conversions.base import CONVERSIONS, Converted, Ingredients
from edgedistill.export.errors import ExportError
from edgedistill.runtime.errors import MissingDependencyError
from edgedistill.runtime.targets import Target


@CONVERSIONS.register("mnn.fp32")
def mnn_fp32(ingredients: Ingredients) -> Converted:
    """From `onnx.fp32`, without the sigmoid at its end: see `MnnBackend`."""
    source = ingredients.get("onnx.fp32")
    path = ingredients.scratch / "model.mnn"
    run_in_child(convert, source.path, path, what="MNN cannot convert the graph")
    return Converted(path, source.details)


def convert(source: str, out: str) -> None:
    """In the child: MNN's converter is native code, and tells what is wrong by printing it.

    The module that `mnnconvert` on the command line wraps: the wrapper, `MNN.tools.mnnconvert`, runs `pip install` when
    it is imported, into whatever environment `pip` belongs to, and reports each conversion to its maker.
    """
    import _tools
    import onnx

    model = onnx.load(source)
    sigmoid = next(node for node in model.graph.node if "probabilities" in node.output)
    model.graph.node.remove(sigmoid)
    for output in [output for output in model.graph.output if output.name != "logits"]:
        model.graph.output.remove(output)
    cut = f"{out}.onnx"
    onnx.save(model, cut)
    options = {"-f": "ONNX", "--modelFile": cut, "--MNNModel": out, "--bizCode": "edgedistill"}
    if not _tools.mnnconvert(["mnnconvert", *(word for pair in options.items() for word in pair)]):
        raise ExportError("MNN cannot convert the graph.")


@BUILDERS.register("mnn")
class MnnBuilder(Builder):
    precisions = {"fp32": "mnn.fp32"}

    @classmethod
    def toolchain_missing(cls, target: Target) -> str:
        return "" if find_spec("MNN") else "MNN is not installed: `pip install MNN`."

    def build(self, target: Target, ingredients: Ingredients) -> Built:
        if missing := self.toolchain_missing(target):
            raise MissingDependencyError(missing)
        source = ingredients.get(self.conversion(target))
        path = ingredients.root / "mnn" / "model.fp32.mnn"
        if not path.exists():  # targets for several devices share the file
            path.parent.mkdir(exist_ok=True)
            shutil.copyfile(source.path, path)
        return Built((path,), "mnn", source.details)
