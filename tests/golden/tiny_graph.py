"""How the golden bundle's graph was made: a closed form, in ONNX. The IR beside it is what OpenVINO made of it.

Needs onnx; the tests that only run the graph do not.
"""

from pathlib import Path

import numpy as np

CLASSES, SIZE = 4, (16, 16)


def write_onnx(path: Path, weights: np.ndarray, bias: np.ndarray) -> None:
    """Logits are the mean of each channel, in [0, 1], times `weights` (3, C), plus `bias` (C,)."""
    from onnx import TensorProto, checker, helper, numpy_helper, save

    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["nchw", "scale"], ["unit"]),
        helper.make_node("ReduceMean", ["unit", "axes"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["probabilities"]),
    ]
    constants = {
        "scale": np.array(1 / 255, np.float32),
        "axes": np.array([2, 3], np.int64),
        "weights": weights,
        "bias": bias,
    }
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", CLASSES])
        for name in ("logits", "probabilities")
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", *SIZE, 3])],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    checker.check_model(model)
    save(model, path)
