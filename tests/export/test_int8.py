"""int8 files: quantised as each runtime computes them, counted, chosen by the metric, recovered where a gate asks."""

import sys

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from residual_network import CONVOLUTIONS
from small_network import LAYERS, small_network

from edgedistill.cli.bundle_table import surrogate_note
from edgedistill.export import export_bundle
from edgedistill.export.builders import Built
from edgedistill.export.builders.openvino import write_ir
from edgedistill.export.operating_points import at_temperature_one
from edgedistill.export.probes import framework_logits, make_probes
from edgedistill.export.proving import check_artifact, count_int8
from edgedistill.export.quantization import held_out, qdq, ranges
from edgedistill.export.quantization.graph_images import GraphImages
from edgedistill.export.quantization.products import multiplies_exactly
from edgedistill.export.sources.pytorch import from_student
from edgedistill.runtime import selftest
from edgedistill.runtime.backends.base import BACKENDS
from edgedistill.runtime.backends.model import Model
from edgedistill.runtime.bundle.file_facts import decode_facts
from edgedistill.runtime.bundle.selection import open_artifact
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.errors import BundleError, ConfigError
from edgedistill.runtime.metrics import best_thresholds
from edgedistill.runtime.model_file import load_file
from edgedistill.runtime.predictor import load
from edgedistill.runtime.targets import Gates, Target
from edgedistill.runtime.tensors import BatchRange

pytestmark = pytest.mark.usefixtures("traced_once")

TARGETS = (
    *("onnxruntime-cpu-fp32", "onnxruntime-cpu-int8", "openvino-cpu-int8", "tensorrt-gpu-int8"),
    *("onnxruntime-mobile-int8", "onnxruntime-mobile-fp32"),
    Target(name="openvino-one-int8", backend="openvino", precision="int8", batch=BatchRange(max=1)),
)


def make_training(student, images=120, seed=5, prefix="train-"):
    """Smooth pictures whose labels are what the student says of them, so that its mAP is 100."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (images, 8, 8, 3), np.uint8)
    pixels = coarse.repeat(8, axis=1).repeat(8, axis=2)
    logits = framework_logits(student.model, pixels)
    labels = (logits > np.quantile(logits, 0.8, axis=0)).astype(np.int8)
    ids = tuple(f"{prefix}{i}" for i in range(images))
    return Dataset("training", student.card.classes, ids, pixels, labels)


@pytest.fixture(scope="module")
def training(student):
    return make_training(student)


@pytest.fixture(scope="module")
def quantised(student, photographs, split, training, traced_once, tmp_path_factory):
    steps = []
    bundle = export_bundle(
        student,
        TARGETS,
        tmp_path_factory.mktemp("int8") / "bundle",
        golden=photographs,
        reference=split,
        calibration=training,
        validation=make_training(student, 60, seed=9, prefix="val-"),
        progress=lambda *step: steps.append(step),
    )
    return bundle, steps


def artifact_of(bundle, name):
    return next(artifact for artifact in bundle.manifest.artifacts if artifact.name == name)


def test_every_file_says_what_the_student_is(quantised):
    bundle, _ = quantised
    runnable = [artifact for artifact in bundle.manifest.artifacts if artifact.status == "verified"]
    assert {artifact.format for artifact in runnable} == {"onnx", "ort", "openvino-ir"}
    for artifact in runnable:
        with open_artifact(bundle, artifact) as backend:
            facts = decode_facts(backend.metadata, artifact.name)
        assert (facts.classes, facts.preprocessing) == (bundle.manifest.classes, bundle.manifest.preprocessing)


@pytest.mark.parametrize("name", ["onnxruntime-cpu-int8", "openvino-cpu-int8", "onnxruntime-mobile-int8"])
def test_every_convolution_runs_in_int8_and_the_file_is_small(quantised, name):
    bundle, _ = quantised
    artifact = artifact_of(bundle, name)
    assert artifact.status == "verified", artifact.reason
    assert artifact.coverage.convolutions == CONVOLUTIONS
    assert artifact.coverage.in_float == ()
    assert artifact.coverage.share == 1.0
    with open_artifact(bundle, artifact) as backend:
        assert backend.effective["precision"] == "int8"
    assert artifact.files[-1].bytes < 0.6 * artifact_of(bundle, "onnxruntime-cpu-fp32").size


def test_what_a_surrogate_computes_in_int8_is_counted_under_its_name(quantised, student, training):
    bundle, _ = quantised
    here = artifact_of(bundle, "onnxruntime-cpu-int8")
    browser = msgspec.structs.replace(here.target, device="wasm")
    artifact = msgspec.structs.replace(here, target=browser, coverage=None, parity=None)
    probes = make_probes(from_student(student), training.images[:8])
    judged = check_artifact(bundle, artifact, probes, Built((), "onnx"))
    assert (judged.status, judged.parity) == ("built_not_run", None)
    assert judged.coverage == msgspec.structs.replace(here.coverage, runner=f"{here.coverage.runner} on cpu")
    assert surrogate_note(judged).endswith(f", {CONVOLUTIONS} of {CONVOLUTIONS} convolutions in int8.")


def test_a_target_of_one_image_has_a_file_of_its_own(quantised):
    bundle, _ = quantised
    one, many = (artifact_of(bundle, f"openvino-{name}-int8") for name in ("one", "cpu"))
    assert [entry.path for entry in one.files] == ["openvino/model.int8.b1.xml", "openvino/model.int8.b1.bin"]
    assert many.files[0].path == "openvino/model.int8.xml"
    for artifact, batch in ((one, 1), (many, "?")):
        assert artifact.status == "verified", artifact.reason
        with open_artifact(bundle, artifact) as backend:
            assert {spec.shape[0] for spec in (*backend.inputs, *backend.outputs)} == {batch}
    assert one.parity.max_abs_logit == pytest.approx(many.parity.max_abs_logit, rel=0.2, abs=1e-4)


def test_the_mobile_format_is_the_same_network(quantised, photographs, tmp_path):
    bundle, _ = quantised
    for precision in ("int8", "fp32"):
        mobile, full = (artifact_of(bundle, f"onnxruntime-{kind}-{precision}") for kind in ("mobile", "cpu"))
        assert (mobile.format, mobile.files[0].path) == ("ort", f"ort/model.{precision}.b1.ort")
        assert mobile.status == "verified", mobile.reason
        assert mobile.parity.max_abs_logit == pytest.approx(full.parity.max_abs_logit, rel=0.2, abs=1e-4)
        assert "ai.onnx;" in mobile.details["required_operators"]
        assert mobile.details["mobile_usability"].startswith("NNAPI ")
        assert mobile.details["reproducible"].startswith("no: ")
        with open_artifact(bundle, mobile) as backend:
            assert backend.effective["precision"] == precision
    assert not [entry for entry in sys.path if "ort_format_model" in entry]
    # A file alone, and one that is damaged.
    path = bundle.root / "ort" / "model.fp32.b1.ort"
    with load_file(path) as predictor:
        assert predictor.scores(photographs).shape == (len(photographs), 5)
    damaged = tmp_path / "damaged.ort"
    damaged.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(BundleError, match=r"damaged\.ort: onnxruntime .* cannot load it"):
        load_file(damaged)


def test_tensorrt_parses_its_own_flavour(quantised):
    artifact = artifact_of(quantised[0], "tensorrt-gpu-int8")
    assert artifact.status == "built_not_run", artifact.reason
    assert artifact.details["onnx_precision"] == "int8"
    assert artifact.details["quantization"] == "s8s8"


def test_the_bundle_says_what_calibrated_and_what_selected(quantised):
    bundle, steps = quantised
    record = bundle.manifest.calibration
    assert (record.dataset, record.images, record.held_out_images) == ("training", 90, 30)
    assert record.fingerprint != record.held_out_fingerprint
    details = artifact_of(bundle, "onnxruntime-cpu-int8").details
    assert all(name in details["calibrators_tried"] for name in ("minmax", "percentile 99.99", "entropy"))
    assert details["calibrator"] in details["calibrators_tried"]
    assert "mAP points" in details["held_out_drop"]
    assert any("measure activations on 90 images" in text for _, _, text in steps)
    assert all(number <= total for number, total, _ in steps)


def test_the_device_proves_and_predicts_it(quantised, photographs):
    bundle, _ = quantised
    report = selftest(bundle.root)
    verdicts = {artifact.name: artifact.verdict for artifact in report.artifacts}
    assert verdicts["onnxruntime-cpu-int8"] == verdicts["openvino-cpu-int8"] == "passed"
    with load(bundle.root, backend="onnxruntime", precision="int8") as small, load(bundle.root) as full:
        assert small.artifact.precision == "int8"
        assert np.abs(small.scores(photographs) - full.scores(photographs)).max() < 0.5


def test_each_file_has_the_thresholds_and_temperature_of_its_own_logits(quantised, student):
    bundle, steps = quantised
    validation = make_training(student, 60, seed=9, prefix="val-")
    points = {artifact.name: artifact.operating_point for artifact in bundle.manifest.artifacts}
    assert points.pop("tensorrt-gpu-int8") is None
    assert {(p.rule, p.images, p.dataset, p.fingerprint) for p in points.values()} == {
        ("best_f1", 60, "training", validation.fingerprint())
    }
    for name in ("onnxruntime-cpu-int8", "openvino-cpu-int8"):
        with load(bundle.root, name=name) as predictor:
            scores = predictor.scores(list(validation.images))
            assert predictor.predict(validation.images[0])[0].thresholds == points[name].thresholds
        np.testing.assert_allclose(points[name].thresholds, best_thresholds(scores, validation.labels), atol=1e-5)
        assert points[name].temperature != points["onnxruntime-cpu-fp32"].temperature
    assert bundle.manifest.thresholds == at_temperature_one(points["onnxruntime-cpu-fp32"])
    assert any(text.endswith("on validation images: 60 of 60") for _, _, text in steps)


def test_int8_wants_images_and_not_those_that_judge(student, split, tmp_path):
    with pytest.raises(ConfigError, match="onnxruntime-cpu-int8: int8 is calibrated on training images: give them"):
        export_bundle(student, ["onnxruntime-cpu-int8"], tmp_path / "b")
    with pytest.raises(ConfigError, match="are also in my test/split, on which the bundle is judged"):
        export_bundle(student, ["onnxruntime-cpu-int8"], tmp_path / "b", reference=split, calibration=split[0])
    assert not list(tmp_path.iterdir())


def test_ranges_are_those_of_the_graphs_own_values(measured):
    prepared, histograms, images, _ = measured
    logits = held_out.run_logits(prepared, images.ranges)
    found = histograms["logits"]
    assert (found.low, found.high) == pytest.approx((logits.min(), logits.max()), rel=1e-5)
    assert found.counts.sum() == logits.size
    assert all(histogram.counts.sum() > 0 for histogram in histograms.values())


def test_weights_have_a_scale_for_each_channel(measured, tmp_path):
    prepared, histograms, _, _ = measured
    full = {name: (h.low, h.high) for name, h in histograms.items()}
    model = onnx.load(qdq.quantise(prepared, full, qdq.U8S8, tmp_path / "int8.onnx"))
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    original = {t.name: numpy_helper.to_array(t) for t in onnx.load(prepared).graph.initializer}
    checked = 0
    for node in model.graph.node:
        name = node.input[0].removesuffix("_quantized")
        if node.op_type == "DequantizeLinear" and original.get(name, np.empty(0)).ndim == 4:
            scale = stored[node.input[1]].reshape(-1, 1, 1, 1)
            assert len(scale) == len(original[name])
            assert np.abs(stored[node.input[0]] * scale - original[name]).max() <= 0.51 * scale.max()
            checked += 1
    assert checked == LAYERS - 1


def test_per_channel_loses_less_than_per_tensor(measured, tmp_path):
    prepared, histograms, images, _ = measured
    full = {name: (h.low, h.high) for name, h in histograms.items()}
    naive = qdq.Flavour("naive", signed=False, per_channel=False)
    expected = held_out.run_logits(prepared, images.held_out)
    errors = [
        np.abs(held_out.run_logits(qdq.quantise(prepared, full, f, tmp_path / f.name), images.held_out) - expected)
        for f in (qdq.U8S8, naive)
    ]
    assert errors[0].mean() < errors[1].mean()


def test_logits_leave_the_last_layer_unrounded(measured, tmp_path):
    """256 levels for all classes would tie images that the float graph ranks."""
    prepared, histograms, images, _ = measured
    full = {name: (h.low, h.high) for name, h in histograms.items()}
    path = qdq.quantise(prepared, full, qdq.U8S8, tmp_path / "int8.onnx")
    onnx.checker.check_model(path, full_check=True)
    last = {name: node.op_type for node in onnx.load(path).graph.node for name in node.output}
    assert (last["logits"], last["probabilities"]) == ("Gemm", "Sigmoid")
    assert len(np.unique(held_out.run_logits(path, images.held_out))) > 60


def test_pixels_are_normalised_in_one_operator_that_computes_the_same(quantised, student, training, tmp_path):
    bundle, _ = quantised
    full = bundle.root / "onnx" / "model.fp32.onnx"
    prepared = qdq.prepare(full, tmp_path / "prepared.onnx")
    pictures = GraphImages(np.stack(training.images[:8]))
    assert np.abs(held_out.run_logits(prepared, pictures) - held_out.run_logits(full, pictures)).max() < 1e-3
    kinds = [node.op_type for node in onnx.load(bundle.root / "onnx" / "model.int8.onnx").graph.node]
    assert kinds.count("BatchNormalization") == 1
    assert not {"Sub", "Mul"} & set(kinds)


def test_nodes_without_a_name_are_quantised_too(tmp_path):
    model = onnx.load(small_network(tmp_path / "named.onnx"))
    for node in model.graph.node:
        node.name = ""
    onnx.save(model, tmp_path / "bare.onnx")
    prepared = qdq.prepare(tmp_path / "bare.onnx", tmp_path / "prepared.onnx")
    assert len(set(qdq.heavy_layers(prepared))) == LAYERS


def test_a_column_of_a_map_is_not_taken_for_the_map(tmp_path):
    """A regular share of its values, 4,000 of each image, would be the left border alone."""
    channels, side = 72, 56
    take = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", channels, side, side])
    give = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", channels, side, side])
    graph = helper.make_graph([helper.make_node("Relu", ["image"], ["logits"], "relu")], "border", [take], [give])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "border.onnx")
    pixels = np.zeros((8, channels, side, side), np.float32)
    pixels[..., 0] = 1.0
    found = ranges.measure(tmp_path / "border.onnx", GraphImages(pixels), tmp_path, ["Relu"])["logits"]
    assert found.counts[-1] / found.counts.sum() == pytest.approx(1 / side, rel=0.2)


# On an x86 CPU without VNNI weights have 7 bits, which RepVGG's fused kernels do not bear: there export says so.
EIGHT_BITS = pytest.mark.skipif(not multiplies_exactly(), reason="RepVGG's random weights want 8 bits: needs VNNI")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "convolutions"),
    [
        ("mobilenetv2", {"width": 0.35}, 52),
        ("shufflenetv2", {"width": 0.5}, 56),
        pytest.param("repvgg_a0", {}, 22, marks=EIGHT_BITS),
    ],
)
def test_the_students_run_in_int8_too(make_student, name, options, convolutions, tmp_path):
    student = make_student(name, **options)
    bundle = export_bundle(
        student, ["onnxruntime-cpu-int8", "openvino-cpu-int8"], tmp_path / "b", calibration=make_training(student, 24)
    )
    for artifact in bundle.manifest.artifacts:
        assert artifact.status == "verified", artifact.reason
        assert artifact.coverage.share == 1.0, artifact.coverage
        assert artifact.coverage.convolutions == convolutions


def test_an_fp32_file_that_is_called_int8_is_counted_as_what_it_is(quantised):
    bundle, _ = quantised
    with open_artifact(bundle, artifact_of(bundle, "onnxruntime-cpu-fp32")) as backend:
        coverage = count_int8(backend)
    assert (coverage.int8, coverage.convolutions) == (0, CONVOLUTIONS)
    assert len(coverage.in_float) == CONVOLUTIONS


class OnDisk:
    def __init__(self, path):
        self.path, self.name, self.label = path, path.name, path.name

    def read(self):
        return self.path.read_bytes()


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_one_convolution_that_is_left_in_float_is_the_one_that_is_counted_so(name, measured, tmp_path):
    prepared, histograms, images, _ = measured
    full = {tensor: (h.low, h.high) for tensor, h in histograms.items()}
    path = qdq.quantise(prepared, full, qdq.U8S7, tmp_path / "some.onnx", in_float=["conv3"])
    if name == "openvino":
        write_ir(str(path), str(path.with_suffix(".xml")), False, {})
        path = path.with_suffix(".xml")
    backend = BACKENDS.get(name)
    files = tuple(map(OnDisk, backend.companions(path)))
    with backend(Model(name="some", files=files, precision="int8")) as loaded:
        coverage = count_int8(loaded)
        logits = loaded.infer(images.held_out[:16])["logits"]
    exact = held_out.run_logits(prepared, images.held_out)
    assert np.abs(logits - exact[:16]).mean() < 0.05 * exact.std()
    assert (coverage.convolutions, coverage.int8) == (LAYERS - 1, LAYERS - 2)
    (in_float,) = coverage.in_float
    assert "3" in in_float  # onnxruntime calls it by its output, c3


def test_targets_that_share_the_file_have_the_strictest_gates():
    from edgedistill.export.requested import int8_gates

    targets = [
        Target(name=str(i), backend="onnxruntime", precision=precision, gates=gates)
        for i, (precision, gates) in enumerate(
            [("fp32", {"max_map_drop": 0.01}), ("int8", {"max_map_drop": 1.0, "confidence": 0.9}), ("int8", {})]
        )
    ]
    assert int8_gates(targets) == Gates(max_map_drop=1.0, confidence=0.95)
    assert int8_gates(targets[:1]) is None
