"""LiteRT's files: what is quantised and how, and a student's, built, counted, judged and used like every other's."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from edgedistill import runtime
from edgedistill.export import export_bundle
from edgedistill.export.optional_outputs import framework_outputs
from edgedistill.export.toolchains import toolchain_python
from edgedistill.runtime.bundle.selection import open_artifact
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.errors import ConfigError, MissingDependencyError
from edgedistill.runtime.preprocess import load
from edgedistill.runtime.targets import Target, load_target

pytestmark = pytest.mark.usefixtures("traced_once")

GOLDEN = Path(__file__).parents[1] / "golden" / "litert"
TARGETS = ("litert-cpu-fp32", "litert-cpu-int8")

needs_litert = pytest.mark.skipif(find_spec("ai_edge_litert") is None, reason="needs LiteRT: the extra `litert`")


def toolchain_reason() -> str:
    try:
        toolchain_python("litert")
    except MissingDependencyError as error:
        return str(error)
    return ""


REASON = toolchain_reason()


def needs_converter(test):
    """Of the toolchain's environment, whose every process imports PyTorch again."""
    return pytest.mark.slow(pytest.mark.skipif(bool(REASON), reason=REASON or "it is here")(test))


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (24, 4, 4, 3), np.uint8).repeat(4, axis=1).repeat(4, axis=2)


@pytest.fixture(scope="module")
def mobile(make_student):
    """What is converted where there is time for it: a whole network."""
    return make_student("mobilenetv2", width=0.35)


@pytest.fixture(scope="module")
def mobile_split(make_split, mobile):
    return make_split(mobile)


@pytest.fixture(scope="module")
def bundle(mobile, photographs, mobile_split, tmp_path_factory):
    """Calibrated on smooth pictures whose labels are what the student says of them."""
    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 256, (40, 8, 8, 3), np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    images = [*pixels]
    logits = student_logits(mobile, pixels)
    labels = (logits > np.quantile(logits, 0.8, axis=0)).astype(np.int8)
    training = Dataset("training", mobile.card.classes, tuple(map(str, range(len(images)))), images, labels)
    return export_bundle(
        mobile,
        TARGETS,
        tmp_path_factory.mktemp("litert") / "bundle",
        golden=photographs,
        reference=mobile_split,
        calibration=training,
        outputs=["embedding", "saliency"],
    )


def student_logits(student, pixels):
    from edgedistill.export.probes import framework_logits

    return framework_logits(student.model, pixels)


def artifact_of(bundle, name):
    return next(artifact for artifact in bundle.manifest.artifacts if artifact.name == name)


@needs_litert
@needs_converter
def test_both_files_are_the_student(bundle):
    for precision in ("fp32", "int8"):
        artifact = artifact_of(bundle, f"litert-cpu-{precision}")
        assert artifact.status == "verified", artifact.reason
        assert (artifact.format, artifact.files[0].path) == ("tflite", f"litert/model.{precision}.b1.tflite")
        assert artifact.parity.runner.startswith("ai_edge_litert ")
        assert "litert-torch " in artifact.details["converter"]
    full, small = map(artifact_of, (bundle, bundle), TARGETS)
    assert full.parity.max_abs_logit < 1e-3
    assert small.size < 0.5 * full.size


def made_by(path: Path, name: str) -> tuple[str, list[str], list[str]]:
    """The operator that computes a tensor of a file, and the types of what it takes and of what it gives."""
    from ai_edge_litert import schema_py_generated as schema

    def words(kind):
        return {value: word for word, value in vars(kind).items() if isinstance(value, int)}

    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    graph, types, kinds = model.Subgraphs(0), words(schema.TensorType), words(schema.BuiltinOperator)
    for operator in map(graph.Operators, range(graph.OperatorsLength())):
        results = [graph.Tensors(place) for place in operator.OutputsAsNumpy()]
        if name.encode() in [tensor.Name() for tensor in results]:
            code = model.OperatorCodes(operator.OpcodeIndex())
            takes = [types[graph.Tensors(place).Type()] for place in operator.InputsAsNumpy() if place >= 0]
            kind = kinds[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
            return kind, takes, [types[tensor.Type()] for tensor in results]
    raise AssertionError(f"nothing computes {name}")


@needs_litert
@needs_converter
def test_every_convolution_runs_in_int8_and_what_leaves_does_not(bundle):
    artifact = artifact_of(bundle, "litert-cpu-int8")
    assert (artifact.coverage.int8, artifact.coverage.convolutions, artifact.coverage.in_float) == (52, 52, ())
    assert artifact.details["quantization"] == "litert"
    assert artifact.details["calibrator"] in artifact.details["calibrators_tried"]
    assert "kept; with" in artifact.details["bias_correction"]  # with it or without it
    with open_artifact(bundle, artifact) as backend:
        assert backend.effective["precision"] == "int8"
    kind, takes, gives = made_by(bundle.root / artifact.files[0].path, "logits")
    # Weights in int8, and no output with 256 levels for all classes and images.
    assert (kind, takes[:2], gives) == ("FULLY_CONNECTED", ["FLOAT32", "INT8"], ["FLOAT32"])


@needs_litert
@needs_converter
def test_the_device_proves_and_predicts_it(bundle, mobile_split, photographs):
    assert {one.verdict for one in runtime.selftest(bundle.root).artifacts} == {"passed"}
    report = runtime.verify(bundle.root, mobile_split[0], artifacts=["litert-cpu-fp32"])
    (judged,) = report.artifacts
    assert judged.drop.estimate == pytest.approx(0.0, abs=0.1)
    path = bundle.root / "litert" / "model.int8.b1.tflite"
    with runtime.load_file(path) as alone, runtime.load(bundle.root, name="litert-cpu-int8") as whole:
        assert alone.manifest.classes == bundle.manifest.classes
        np.testing.assert_array_equal(alone.scores(photographs), whole.scores(photographs))


@needs_litert
def test_ranges_are_those_of_the_graphs_own_values(pictures):
    from edgedistill.export.quantization.graph_images import GraphImages
    from edgedistill.export.quantization.litert_quantiser import LiteRtQuantiser
    from edgedistill.export.quantization.litert_ranges import measure

    source = GOLDEN / "convolutions.tflite"
    found = measure(source, GraphImages(pictures))
    logits = LiteRtQuantiser(source, Path()).logits(source, GraphImages(pictures))
    assert (found["logits"].low, found["logits"].high) == pytest.approx((logits.min(), logits.max()), rel=1e-5)
    assert found["logits"].counts.sum() == logits.size
    pixels = pictures / 64 - 2  # what the file does first, in float32
    assert (found["sub_1"].low, found["sub_1"].high) == pytest.approx((pixels.min(), pixels.max()), rel=1e-5)
    assert found["conv_2d_1"].low == 0.0  # after its ReLU6
    assert found["conv_2d_1"].high <= 6.0
    assert found["padv2_1"].low == 0.0  # max pooling's border of -inf apart


@needs_litert
@needs_converter
def test_each_layer_alone_is_what_is_quantised(pictures, tmp_path):
    from edgedistill.export.quantization.graph_images import GraphImages
    from edgedistill.export.quantization.litert_quantiser import LiteRtQuantiser
    from edgedistill.export.quantization.litert_ranges import measure
    from edgedistill.runtime.backends.litert_facts import read_litert

    source = GOLDEN / "convolutions.tflite"
    quantiser = LiteRtQuantiser(source, toolchain_python("litert"))
    images = GraphImages(pictures)
    ranges = {name: (one.low, one.high) for name, one in measure(source, images).items()}
    assert quantiser.layers() == ["conv_2d_1", "depthwise_conv_2d_1", "conv_2d_2", "logits"]
    expected, errors = quantiser.logits(source, images), {}
    for name, path in quantiser.each_alone(ranges, tmp_path):
        in_int8 = [layer for layer, kind in read_litert(path.read_bytes()).convolutions if kind == "int8"]
        assert in_int8 == ([name] if name != "logits" else [])
        errors[name] = np.abs(quantiser.logits(path, images) - expected).max()
    assert len(errors) == 4
    assert all(0 < error < 0.1 * np.ptp(expected) for error in errors.values())


@needs_litert
@needs_converter
def test_optional_outputs_are_the_networks_own(bundle, mobile, photographs):
    full, small = map(artifact_of, (bundle, bundle), TARGETS)
    assert set(full.parity.further) == set(small.parity.further) == {"embedding", "saliency"}
    assert max(full.parity.further.values()) < 1e-4
    image = load(photographs[0], mobile.card.preprocessing)[None]
    own = framework_outputs(mobile.model, image, ["embedding", "saliency"])
    for name, close in ((TARGETS[0], 1e-4), (TARGETS[1], 0.8)):  # int8 of an untrained network is coarse
        with runtime.load(bundle, name=name) as predictor:
            found = predictor.embed(photographs[0]), predictor.explain(photographs[0])[0].maps[None]
        for values, expected in zip(found, own.values(), strict=True):
            assert np.linalg.norm(values - expected) < close * np.linalg.norm(expected)


@pytest.mark.skipif(not toolchain_reason(), reason="the converter is here")
def test_without_the_converter_it_is_said_how_to_get_it(student, tmp_path):
    bundle = export_bundle(student, ["onnxruntime-cpu-fp32", "litert-cpu-fp32"], tmp_path / "b")
    artifact = artifact_of(bundle, "litert-cpu-fp32")
    assert artifact.status == "failed"
    assert artifact.reason == "litert-torch is not installed: `edgedistill toolchain install litert`."


def test_a_file_takes_one_image_at_a_time(student, tmp_path):
    assert load_target("litert-cpu-fp32").batch.fixed == 1
    target = Target(name="many", backend="litert", precision="fp32")
    with pytest.raises(ConfigError, match=r"many: a \.tflite file takes one image at a time"):
        export_bundle(student, [target], tmp_path / "b")
