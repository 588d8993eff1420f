"""Whether this CPU multiplies bytes exactly, and what an int8 graph does where it does not."""

from functools import cache
from typing import Any

import numpy as np

from .qdq import U8S7, U8S8, Flavour

_NOT_EXACT = "the exporting CPU has no exact product of bytes (x86 without VNNI)"
_DEPTH = 64  # products in a sum: enough for every width of a processor's registers


def flavour_here(flavour: Flavour) -> tuple[Flavour, dict[str, str]]:
    """A flavour as it is computed right on this machine, and the artifact's details where that changes it.

    An x86 CPU without VNNI adds two products of bytes in 16 bits, where 255 x 127 twice are too large. Weights of 7
    bits cannot overflow there, and give the same on every other CPU.
    """
    if flavour is U8S7:
        return flavour, {"weights": "7 bits: asked for by `weight_bits`"}
    if flavour is U8S8 and not multiplies_exactly():
        return U8S7, {"weights": f"7 bits: {_NOT_EXACT}"}
    return flavour, {}


def of_trained_weights() -> dict[str, str]:
    """The details of a file whose weights were trained with 8 bits and keep them, where this CPU is not exact."""
    if multiplies_exactly():
        return {}
    return {"weights": f"8 bits, as they were trained: {_NOT_EXACT}, so what was measured here is not what others give"}


@cache
def multiplies_exactly() -> bool:
    """Whether onnxruntime's product of the largest uint8 and int8 values is right on this CPU."""
    import onnxruntime
    from onnx import TensorProto, helper

    def tensor(name: str, kind: int) -> Any:
        return helper.make_tensor_value_info(name, kind, [_DEPTH, _DEPTH])

    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["bytes", "weights"], ["sums"])],
        "product",
        [tensor("bytes", TensorProto.UINT8), tensor("weights", TensorProto.INT8)],
        [tensor("sums", TensorProto.INT32)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    full = {"bytes": np.full((_DEPTH, _DEPTH), 255, np.uint8), "weights": np.full((_DEPTH, _DEPTH), 127, np.int8)}
    return bool((session.run(None, full)[0] == 255 * 127 * _DEPTH).all())
