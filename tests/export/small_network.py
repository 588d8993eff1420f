"""A network of nine layers, quick to quantise."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LAYERS = 9


def small_network(path, *, ruined=False):
    """uint8 (N, 24, 24, 3) -> logits and probabilities (N, 4).

    Args:
        path: of the file.
        ruined: whether the last layer's weights of a channel that is always 0 are so large that in 8 bits nothing is
            left of all the others.
    """
    rng = np.random.default_rng(0)
    make = helper.make_node
    nodes = [make("Cast", ["image"], ["real"], to=1), make("Transpose", ["real"], ["x0"], perm=[0, 3, 1, 2])]
    tensors = []
    for i in range(LAYERS - 1):
        channels = 3 if i == 0 else 8
        # Each channel of another size: what one scale for all of them cannot hold.
        weight = rng.normal(0, 1, (8, channels, 3, 3)) * np.geomspace(0.05, 1, 8).reshape(-1, 1, 1, 1)
        weight /= np.sqrt(channels) * (300 if i == 0 else 1)
        tensors.append(numpy_helper.from_array(weight.astype(np.float32), f"w{i}"))
        tensors.append(numpy_helper.from_array(rng.normal(0, 0.3, 8).astype(np.float32), f"b{i}"))
        nodes.append(make("Conv", [f"x{i}", f"w{i}", f"b{i}"], [f"c{i}"], f"conv{i}", pads=[1, 1, 1, 1]))
        nodes.append(make("Relu", [f"c{i}"], [f"x{i + 1}"], f"relu{i}"))
    head = rng.normal(0, 3, (8, 4)).astype(np.float32)
    if ruined:
        last = numpy_helper.to_array(tensors[-1]).copy()
        last[0], head[0] = -1.0, 5000.0
        tensors[-1] = numpy_helper.from_array(last, tensors[-1].name)
    tensors.append(numpy_helper.from_array(head, "head"))
    nodes += [
        make("GlobalAveragePool", [f"x{LAYERS - 1}"], ["pooled"], "pool"),
        make("Flatten", ["pooled"], ["flat"], "flatten"),
        make("Gemm", ["flat", "head"], ["logits"], "linear"),
        make("Sigmoid", ["logits"], ["probabilities"], "sigmoid"),
    ]
    takes = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 24, 24, 3])
    gives = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 4]) for n in ("logits", "probabilities")]
    graph = helper.make_graph(nodes, "small", [takes], gives, tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path
