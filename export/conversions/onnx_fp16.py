"""`onnx.fp16`: the float16 flavour of the ONNX file, for runtimes whose precision comes from the graph."""

import warnings
from pathlib import Path

from ..child import run_in_child
from .base import CONVERSIONS, Converted, Ingredients


@CONVERSIONS.register("onnx.fp16")
def onnx_fp16(ingredients: Ingredients) -> Converted:
    """From `onnx.fp32`."""
    source = ingredients.get("onnx.fp32")
    path = ingredients.scratch / "model.fp16.onnx"
    run_in_child(convert_to_fp16, source.path, path, what="the graph cannot be converted to float16")
    return Converted(path, source.details)


def convert_to_fp16(path: str | Path, out: str | Path) -> None:
    """In the child: write a float16 copy of the float32 ONNX file `path`; its inputs and outputs keep their types.

    The final sigmoid stays in float32: float16 rounds every probability above 0.9998 to 1.0, which would tie images
    that the logits rank.
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = onnx.load(path)
    graph = model.graph
    sigmoid = next(node for node in graph.node if "probabilities" in node.output)
    probabilities = next(output for output in graph.output if output.name == "probabilities")
    graph.node.remove(sigmoid)
    graph.output.remove(probabilities)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one per weight below float16's smallest number
        model = convert_float_to_float16(model, keep_io_types=True)
    model.graph.node.append(sigmoid)
    model.graph.output.append(probabilities)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, out)
