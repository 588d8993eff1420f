"""Cross-layer equalisation: the network computes the same, and neighbours have the same ranges."""

import numpy as np
import onnx
import onnxruntime
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgedistill.export.quantization.equalising import equalise, find_pairs

_ACTIVATIONS = ("none", "Relu", "LeakyRelu", "Clip")
_LAYER = st.fixed_dictionaries(
    {
        "kernel": st.sampled_from([1, 3]),
        "channels": st.sampled_from([4, 8]),
        "groups": st.sampled_from(["one", "two", "depthwise"]),
        "bias": st.booleans(),
        "activation": st.sampled_from(_ACTIVATIONS),
        "read_twice": st.booleans(),
    }
)


def network(layers, rng):
    """Convolutions one after the other; a map that is read twice is an output too."""
    nodes, tensors, outputs, channels, tensor = [], [], [], 4, "image"
    for i, layer in enumerate(layers):
        out = channels if layer["groups"] == "depthwise" else layer["channels"]
        groups = {"one": 1, "two": 2, "depthwise": channels}[layer["groups"]]
        weight = rng.normal(0, 1, (out, channels // groups, layer["kernel"], layer["kernel"]))
        weight *= rng.lognormal(0, 2, (out, 1, 1, 1)) * rng.lognormal(0, 1, (1, channels // groups, 1, 1))
        weight[0] *= rng.integers(0, 2)  # a dead channel
        tensors.append(numpy_helper.from_array(weight.astype(np.float32), f"w{i}"))
        inputs = [tensor, f"w{i}"]
        if layer["bias"]:
            tensors.append(numpy_helper.from_array(rng.normal(0, 1, out).astype(np.float32), f"b{i}"))
            inputs.append(f"b{i}")
        pads = [layer["kernel"] // 2] * 4
        nodes.append(helper.make_node("Conv", inputs, [f"c{i}"], f"conv{i}", group=groups, pads=pads))
        tensor, channels = f"c{i}", out
        if layer["activation"] != "none":
            limits = ["zero", "six"] if layer["activation"] == "Clip" else []
            nodes.append(helper.make_node(layer["activation"], [tensor, *limits], [f"a{i}"], f"act{i}"))
            tensor = f"a{i}"
        if layer["read_twice"] or i == len(layers) - 1:
            outputs.append(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, None))
    tensors += [numpy_helper.from_array(np.float32(value), name) for value, name in ((0, "zero"), (6, "six"))]
    takes = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 4, 6, 6])
    graph = helper.make_graph(nodes, "random", [takes], outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def outputs_of(path, image):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # a layer that nothing reads is told at each
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image})


def magnitudes(model, folder, image):
    """What the products' absolute values sum up to: rounding is relative to that, also where a sum nearly cancels."""
    absolute = onnx.ModelProto()
    absolute.CopyFrom(model)
    for tensor in absolute.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(np.abs(numpy_helper.to_array(tensor)), tensor.name))
    for node in absolute.graph.node:
        if node.op_type == "Clip":
            node.op_type = "Identity"
            del node.input[1:]
    onnx.save(absolute, folder / "absolute.onnx")
    return outputs_of(folder / "absolute.onnx", np.abs(image))


def largest(weight, channel, groups, *, given):
    """The largest |weight| that gives or takes a channel, written out."""
    if given:
        return max(abs(value) for value in weight[channel].ravel())
    outputs, inputs = weight.shape[:2]
    group, place = divmod(channel, inputs)
    rows = range(group * outputs // groups, (group + 1) * outputs // groups)
    return max(abs(value) for row in rows for value in weight[row, place].ravel())


@settings(max_examples=60, deadline=None)
@given(st.lists(_LAYER, min_size=2, max_size=5), st.integers(0, 99))
def test_an_equalised_network_computes_the_same(tmp_path_factory, layers, seed):
    folder = tmp_path_factory.mktemp("equalise")
    rng = np.random.default_rng(seed)
    original = network(layers, rng)
    onnx.save(original, folder / "original.onnx")
    image = rng.normal(0, 1, (3, 4, 6, 6)).astype(np.float32)
    expected = outputs_of(folder / "original.onnx", image)
    count = equalise(folder / "original.onnx", folder / "equalised.onnx")
    assert count == sum(layer["activation"] != "Clip" and not layer["read_twice"] for layer in layers[:-1])
    if not count:
        assert not (folder / "equalised.onnx").exists()
        return
    found = outputs_of(folder / "equalised.onnx", image)
    for one, value, magnitude in zip(found, expected, magnitudes(original, folder, image), strict=True):
        np.testing.assert_array_less(np.abs(one - value), 4e-6 * magnitude + 1e-30)
    graph = onnx.load(folder / "equalised.onnx").graph
    weights = {tensor.name: numpy_helper.to_array(tensor).astype(np.float64) for tensor in graph.initializer}
    for pair in find_pairs(graph):
        first, second = weights[pair.weight], weights[pair.then]
        for channel in range(len(first)):
            gives = largest(first, channel, 1, given=True)
            takes = largest(second, channel, pair.groups, given=False)
            assert gives == 0 or takes == 0 or 0.95 < gives / takes < 1.05


def test_weights_that_two_layers_read_are_left(tmp_path):
    layer = {"kernel": 1, "channels": 4, "groups": "one", "bias": False, "activation": "Relu", "read_twice": False}
    model = network([layer, layer, layer], np.random.default_rng(0))
    model.graph.node[2].input[1] = model.graph.node[4].input[1]
    assert find_pairs(model.graph) == []
