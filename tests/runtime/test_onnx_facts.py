"""What an ONNX file says of itself, read without the onnx library: the onnx library is the reference here."""

import contextlib

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedistill.runtime.backends.model import Model
from edgedistill.runtime.backends.onnx_facts import read_onnx
from edgedistill.runtime.backends.onnxruntime import OnnxRuntimeBackend
from edgedistill.runtime.bundle.loose import open_source
from edgedistill.runtime.bundle.selection import open_artifact
from edgedistill.runtime.errors import BundleError, ConfigError

onnx = pytest.importorskip("onnx", reason="the lowest-versions step has only the runtime's dependencies")
FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


def linear(dtype=np.float32, quantised=False):
    """x (N, 4) @ w (4, 3), the weight in `dtype`."""
    helper, kind = onnx.helper, onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    weight = onnx.numpy_helper.from_array(np.arange(12).reshape(4, 3).astype(dtype), "w")
    nodes, inputs = [helper.make_node("MatMul", ["x", "w"], ["y"])], [weight]
    if quantised:
        inputs += [
            onnx.numpy_helper.from_array(np.array(0.1, np.float32), "scale"),
            onnx.numpy_helper.from_array(np.array(0, np.uint8), "zero"),
        ]
        nodes = [
            helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
            helper.make_node("MatMul", ["d", "w"], ["y"]),
        ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", kind, ["batch", 4])],
        [helper.make_tensor_value_info("y", kind, ["batch", 3])],
        inputs,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.mark.parametrize(
    ("options", "precision"),
    [({}, "fp32"), ({"dtype": np.float16}, "fp16"), ({"quantised": True}, "int8")],
)
def test_precision_is_what_weights_and_operators_say(options, precision):
    facts = read_onnx(linear(**options).SerializeToString())
    assert facts.precision == precision
    assert facts.operators["MatMul"] == 1
    assert not facts.external


def test_operators_of_subgraphs_and_functions_count():
    helper = onnx.helper
    branch = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["z"])], "b", [], [helper.make_empty_tensor_value_info("z")]
    )
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    function = helper.make_function(
        "own", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 18)]
    )
    model = helper.make_model(helper.make_graph([node], "g", [], []), functions=[function])
    assert read_onnx(model.SerializeToString()).operators == {"If": 1, "Neg": 2, "Add": 1}


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 10_000))
def test_any_bytes_are_facts_or_a_value_error(noise, seed):
    data = bytearray(linear().SerializeToString())
    at = seed % len(data)
    for candidate in (noise, bytes(data[:at]) + noise[:8] + bytes(data[at + 8 :])):
        with contextlib.suppress(ValueError):
            read_onnx(candidate)


def test_a_file_labelled_otherwise_is_named_as_what_it_is(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(linear(), path)
    bundle = open_source(path)
    (artifact,) = bundle.manifest.artifacts
    labelled = msgspec.structs.replace(artifact, target=msgspec.structs.replace(artifact.target, precision="fp16"))
    with open_artifact(bundle, labelled) as backend:
        assert backend.effective["precision"] == "fp32"


@pytest.fixture
def external(tmp_path):
    """A model whose weight lies in a file beside it."""
    path = tmp_path / "model.onnx"
    onnx.save(linear(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return path


def test_weights_in_a_listed_file_are_loaded_from_a_private_copy(external):
    bundle = open_source(external)
    (artifact,) = bundle.manifest.artifacts
    assert [entry.path for entry in artifact.files] == ["model.onnx", "weights.bin"]
    with open_artifact(bundle, artifact) as backend:
        found = backend.run({"x": np.eye(4, dtype=np.float32)})["y"]
    np.testing.assert_array_equal(found, np.arange(12).reshape(4, 3))


def test_weights_in_an_altered_or_unlisted_file_are_never_loaded(external):
    bundle = open_source(external)
    (artifact,) = bundle.manifest.artifacts
    weights = external.with_name("weights.bin")
    weights.write_bytes(bytes(weights.stat().st_size))
    with pytest.raises(BundleError, match="SHA-256 differs"):
        open_artifact(bundle, artifact)
    unlisted = Model(name="m", files=(bundle.model(artifact).files[0],), precision="fp32")
    with pytest.raises(BundleError, match=r"wants its weights from 'weights.bin', which is not listed"):
        OnnxRuntimeBackend(unlisted)
    weights.unlink()
    with pytest.raises(BundleError, match=r"needs weights.bin beside it"):
        open_source(external)


def test_weights_outside_the_folder_are_refused(tmp_path):
    model = linear()
    (tmp_path / "secret").write_bytes(bytes(48))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    folder = tmp_path / "inside"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(BundleError, match=r"needs secret beside it"):
        open_source(folder / "model.onnx")


def test_casts_to_a_coarser_type_are_named():
    helper = onnx.helper
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=HALF),
        helper.make_node("Cast", ["w"], ["v"], to=HALF),
        helper.make_node("MatMul", ["h", "v"], ["p"]),
        helper.make_node("Cast", ["p"], ["y"], to=FLOAT),
    ]
    model = linear()
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    assert read_onnx(model.SerializeToString()).precision == "mixed fp32 and fp16"


def test_a_precision_that_the_backend_cannot_choose_is_a_mistake(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(linear(), path)
    with pytest.raises(ConfigError, match="onnxruntime cannot be asked for the precision 'bf16': the file's own"):
        open_source(path, precision="bf16")
