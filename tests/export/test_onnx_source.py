"""Somebody else's ONNX file: what is read of it, the bundle that is made of it, and what is refused."""

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from edgedistill import runtime
from edgedistill.export import ExportError, export_bundle, from_onnx
from edgedistill.export.probes import generated_images
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.errors import ConfigError
from edgedistill.runtime.preprocess import Preprocessing, normalize

SIZE = (32, 48)
CLASSES = ("cat", "dog", "tree")
MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.2, 0.3)
IMAGES = generated_images(12, SIZE)
ORT = "onnxruntime-cpu-fp32"


class Net(nn.Module):
    """A tiny classifier.

    Args:
        end: on its logits (N, 3).
    """

    def __init__(self, end=None):
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
        self.linear = nn.Linear(8, len(CLASSES))
        with torch.no_grad():
            self.linear.weight *= 20
        self.end = end or nn.Identity()

    def forward(self, images):
        return self.end(self.linear(self.features(images).mean((2, 3))))


class FlattenedByOne(Net):
    """Its batch of one is written into the graph, where it can be freed."""

    def forward(self, images):
        return self.linear(nn.functional.adaptive_avg_pool2d(self.features(images), 1).reshape(1, -1))


class OneAtATime(Net):
    """Its batch of one is written into the graph for good."""

    def forward(self, images):
        logits = super().forward(images)
        return torch.cat([logits, torch.zeros(1, 3)], dim=1)[:, :3]


class HandMadeSigmoid(nn.Module):
    def forward(self, logits):
        return 1 / (1 + torch.exp(-logits))


def expected_logits(images=IMAGES):
    with torch.no_grad():
        return Net()(torch.from_numpy(normalize(images, Preprocessing(size=SIZE, mean=MEAN, std=STD)))).numpy()


@pytest.fixture
def write(tmp_path):
    """Export a network as a user would, with the exporter that most files in the field are from."""

    def export(net, name="net.onnx", *, images=2, inputs=("pixels",), outputs=("scores",), **options):
        path = tmp_path / name
        axes = {} if images == 1 else {inputs[0]: {0: "n"}, outputs[0]: {0: "n"}}
        torch.onnx.export(
            net.eval(), (torch.zeros(images, 3, *SIZE),), path, dynamo=False, input_names=list(inputs),
            output_names=list(outputs), dynamic_axes=axes, **options,
        )  # fmt: skip
        return path

    return export


def read(path, **options):
    return from_onnx(path, **{"classes": CLASSES, "mean": MEAN, "std": STD, **options})


def change(path, edit):
    model = onnx.load(path)
    edit(model)
    onnx.save(model, path)
    return path


def test_a_file_becomes_a_bundle_that_predicts_as_the_network_does(write, tmp_path):
    source = read(write(Net(nn.Sigmoid()), opset_version=13), thresholds=(0.5, 0.4, 0.3))
    labels = (expected_logits() > 0).astype("int8")
    data = Dataset("photos", CLASSES, tuple(map(str, range(12))), list(IMAGES), labels)
    targets = [ORT, "openvino-cpu-fp32", "onnxruntime-cpu-int8"]
    bundle = export_bundle(source, targets, tmp_path / "b", calibration=data, golden=list(IMAGES[:2]))
    manifest = bundle.manifest
    assert [artifact.status for artifact in manifest.artifacts] == ["verified"] * 3
    assert [artifact.coverage.share for artifact in manifest.artifacts if artifact.coverage] == [1.0]
    assert manifest.provenance.framework.startswith("onnxruntime ")
    assert manifest.provenance.checkpoint_sha256 == source.card.sha256
    assert (manifest.classes, manifest.thresholds) == (CLASSES, (0.5, 0.4, 0.3))
    assert runtime.selftest(bundle).verdict == "passed"
    with runtime.load(bundle, precision="fp32") as predictor:
        scores = predictor.scores(list(IMAGES))
    assert abs(scores - torch.from_numpy(expected_logits()).sigmoid().numpy()).max() < 1e-5


@pytest.mark.parametrize(
    ("net", "options"),
    [
        (Net(), {}),
        (Net(), {"opset_version": 11}),
        (Net(nn.Sigmoid()), {}),
        (Net(nn.Sequential(nn.Sigmoid(), nn.Flatten())), {}),
        (Net(), {"inputs": ("image",), "outputs": ("logits",)}),
        (Net(), {"inputs": ("logits",), "outputs": ("image",)}),
        (Net(), {"images": 1}),
        (FlattenedByOne(), {"images": 1}),
    ],
    ids=["plain", "old opset", "sigmoid", "sigmoid, flattened", "our names", "ours swapped", "one", "one inside"],
)
@pytest.mark.parametrize("input", ["uint8_nhwc", "float32_nchw"])
def test_any_graph_of_a_classifier_is_read(write, tmp_path, net, options, input):
    source = read(write(net, **options))
    assert abs(source.logits(IMAGES) - expected_logits()).max() < 1e-4
    assert source.image(input).shape[0] == "batch"
    run_and_compare(source.write_onnx(input, tmp_path / "wrapped.onnx"), input)


def run_and_compare(path, input, batches=(1, 5)):
    import onnxruntime

    onnx.checker.check_model(path, full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    fed = IMAGES if input == "uint8_nhwc" else normalize(IMAGES, Preprocessing(size=SIZE, mean=MEAN, std=STD))
    for count in batches:
        logits, probabilities = session.run(["logits", "probabilities"], {"image": fed[:count]})
        assert abs(logits - expected_logits()[:count]).max() < 1e-4
        assert abs(probabilities - torch.from_numpy(logits).sigmoid().numpy()).max() < 1e-6


def test_channels_may_be_last(write, tmp_path):
    def move_channels(model):
        graph = model.graph
        graph.node.insert(0, helper.make_node("Transpose", ["nhwc"], ["pixels"], perm=[0, 3, 1, 2]))
        del graph.input[:]
        graph.input.append(helper.make_tensor_value_info("nhwc", TensorProto.FLOAT, ["n", *SIZE, 3]))

    source = read(change(write(Net()), move_channels))
    assert abs(source.logits(IMAGES) - expected_logits()).max() < 1e-4
    for input in ("uint8_nhwc", "float32_nchw"):
        run_and_compare(source.write_onnx(input, tmp_path / f"{input}.onnx"), input)


def test_a_batch_that_cannot_be_freed_is_recorded(write, tmp_path):
    source = read(write(OneAtATime(), images=1))
    data = Dataset("photos", CLASSES, tuple(map(str, range(12))), list(IMAGES), (expected_logits() > 0).astype("int8"))
    bundle = export_bundle(source, [ORT, "onnxruntime-cpu-int8"], tmp_path / "b", calibration=data)
    assert bundle.manifest.inputs[0].shape == (1, *SIZE, 3)
    assert {artifact.status for artifact in bundle.manifest.artifacts} == {"verified"}
    assert {artifact.target.batch.max for artifact in bundle.manifest.artifacts} == {1}
    with runtime.load(bundle, precision="fp32") as predictor:
        assert abs(predictor.scores(list(IMAGES)) - torch.from_numpy(expected_logits()).sigmoid().numpy()).max() < 1e-5


def test_a_file_of_ours_says_everything_itself(write, tmp_path):
    export_bundle(read(write(Net()), thresholds=(0.1, 0.2, 0.3)), [ORT], tmp_path / "b")
    again = from_onnx(tmp_path / "b" / "onnx" / "model.fp32.onnx")
    assert (again.card.classes, again.card.thresholds) == (CLASSES, (0.1, 0.2, 0.3))
    assert again.card.preprocessing == Preprocessing(size=SIZE, mean=MEAN, std=STD)
    assert "assumed" not in again.reading
    assert abs(again.logits(IMAGES) - expected_logits()).max() < 1e-4
    run_and_compare(again.write_onnx("uint8_nhwc", tmp_path / "again.onnx"), "uint8_nhwc")
    with pytest.raises(ConfigError, match="takes uint8 pixels: `input: float32_nchw` cannot be had of it"):
        again.image("float32_nchw")
    with pytest.raises(ConfigError, match="normalises them itself: no --mean, no --std"):
        read(tmp_path / "b" / "onnx" / "model.fp32.onnx")


def test_what_nobody_said_is_told(write):
    assert "mean 0.485, 0.456, 0.406" in from_onnx(write(Net()), classes=CLASSES).reading
    assert "nobody said interpolation, resize: assumed; it gives logits." in read(write(Net())).reading
    assert "final sigmoid's input is the logits" in read(write(Net(nn.Sigmoid()))).reading


@pytest.mark.parametrize(
    ("end", "options", "message"),
    [
        (nn.Softmax(1), {}, "it ends in Softmax, which gives one label per image"),
        (HandMadeSigmoid(), {}, "all its scores lie within 0 and 1, .* no final Sigmoid"),
        (None, {"classes": ("a", "b")}, "its graph gives 3 scores, and 2 classes are named"),
        (None, {"classes": ("a", "b", "a")}, "holds 'a' twice"),
        (None, {"classes": None}, "does not say what its scores are: name the classes, e.g. --classes"),
        (None, {"size": (32, 32)}, "its graph takes 32x48 pixels and no others"),
        (None, {"thresholds": (0.5, 2, 0.5)}, "the threshold of 'dog' is 2"),
        (None, {"std": (0.0, 1.0, 1.0)}, "`preprocessing.std` must be above 0"),
    ],
)
def test_what_does_not_fit_is_one_line(write, end, options, message):
    with pytest.raises((ConfigError, ExportError), match=message):
        read(write(Net(end)), **options)


def two_outputs(model):
    model.graph.output.append(helper.make_tensor_value_info(model.graph.node[0].output[0], TensorProto.FLOAT, None))


def of_floats(model):
    del model.graph.input[0].type.tensor_type.shape.dim[3:]


def damaged(model):
    model.graph.initializer[-1].CopyFrom(
        onnx.numpy_helper.from_array(
            onnx.numpy_helper.to_array(model.graph.initializer[-1]) * float("nan"), model.graph.initializer[-1].name
        )
    )


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (two_outputs, "its graph gives scores, .*: one output is wanted"),
        (of_floats, r"its graph takes pixels: float \(n, 3, 32\): an image classifier takes float32"),
        (damaged, "logits of generated images are not finite"),
    ],
)
def test_a_graph_of_another_kind_is_one_line(write, edit, message):
    with pytest.raises(ExportError, match=message):
        read(change(write(Net()), edit))


def test_what_is_no_float32_file_is_one_line(write, tmp_path):
    (tmp_path / "text.onnx").write_text("no graph")
    with pytest.raises(ExportError, match="text.onnx: cannot be read as an ONNX file"):
        read(tmp_path / "text.onnx")
    with pytest.raises(ExportError, match="missing.onnx: no such file"):
        read(tmp_path / "missing.onnx")
    with pytest.raises(ExportError, match="computes in fp16: give the float32 file"):
        read(in_half(write(Net())))


def in_half(path):
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=True), path)
    return path


def test_weights_beside_the_file_count(write):
    path = write(Net())
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="net.data", size_threshold=0)
    before = read(path).card.sha256
    weights = path.with_name("net.data")
    values = bytearray(weights.read_bytes())
    values[2] ^= 1  # of the lower half of a value
    weights.write_bytes(values)
    assert read(path).card.sha256 != before


@pytest.mark.parametrize("target", ["litert-cpu-fp32", "coreml-apple-fp16"])
def test_what_is_converted_from_pytorch_says_so(write, tmp_path, target):
    with pytest.raises(ExportError, match="converted from a network in PyTorch, and an ONNX file was given"):
        export_bundle(read(write(Net())), [target], tmp_path / "b")
