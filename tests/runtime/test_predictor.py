import io
import threading

import msgspec
import numpy as np
import pytest
from PIL import Image

from edgedistill import runtime
from edgedistill.runtime.backends.base import BACKENDS, Backend
from edgedistill.runtime.bundle import Bundle, open_bundle, zip_bundle
from edgedistill.runtime.errors import BundleError, DataError, InferenceError, MissingDependencyError
from edgedistill.runtime.predictor import Prediction, Predictor
from edgedistill.runtime.preprocess import Preprocessing, normalize
from edgedistill.runtime.preprocess import load as load_image
from edgedistill.runtime.tensors import BatchRange, TensorSpec


@pytest.fixture
def predictor(tiny_bundle):
    with runtime.load(tiny_bundle) as loaded:
        yield loaded


def test_it_takes_the_first_artifact_of_the_manifest(predictor):
    assert predictor.artifact.name == "ort-fp32"
    assert predictor.classes == ("red", "green", "blue", "bright")
    assert predictor.effective["providers"] == "CPUExecutionProvider"


def test_it_takes_what_is_asked_for(tiny_bundle):
    opened = open_bundle(tiny_bundle)
    for options, name in [
        ({"backend": "openvino"}, "ov-fp32"),
        ({"precision": "bf16"}, "ov-bf16"),
        ({"name": "ov-fp32"}, "ov-fp32"),
    ]:
        with runtime.load(opened, **options) as loaded:
            assert loaded.artifact.name == name
    with pytest.raises(BundleError, match="no artifact for tensorrt; it holds ort-fp32, ov-fp32, ov-bf16"):
        runtime.load(opened, backend="tensorrt")


def absent(reason):
    def library(*_):
        raise MissingDependencyError(reason)

    return library


def test_an_absent_backend_is_passed_over_and_none_at_all_is_an_error(tiny_bundle, monkeypatch):
    monkeypatch.setattr(BACKENDS.get("onnxruntime"), "library", absent("no ort here."))
    with runtime.load(tiny_bundle) as loaded:
        assert loaded.artifact.name == "ov-fp32"
        assert loaded.passed_over == {"ort-fp32": "no ort here."}
    monkeypatch.setattr(BACKENDS.get("openvino"), "library", absent("no ov here."))
    with pytest.raises(MissingDependencyError, match="ort-fp32: no ort here. ov-fp32: no ov here. ov-bf16"):
        runtime.load(tiny_bundle)


def test_a_photograph_gets_its_label(predictor, tiny_bundle):
    path = tiny_bundle / "selftest" / "red.jpg"
    (prediction,) = predictor.predict(path)
    assert prediction.source == str(path)
    assert list(prediction.labels) == ["red"]
    golden = 1 / (1 + np.exp(-np.array(predictor.manifest.selftest[0].logits)))
    np.testing.assert_allclose(prediction.probabilities, golden, atol=1e-5)


def test_every_kind_of_image_gives_the_same(predictor, tiny_bundle):
    path = tiny_bundle / "selftest" / "teal.jpg"
    image = Image.open(path)
    kinds = [path, str(path), path.read_bytes(), image, np.asarray(image)]
    predictions = predictor.predict(kinds)
    assert [p.source for p in predictions] == [str(path), str(path), "image 2", "image 3", "image 4"]
    for prediction in predictions:
        np.testing.assert_array_equal(prediction.probabilities, predictions[0].probabilities)
    for kind in kinds:
        (alone,) = predictor.predict(kind)
        np.testing.assert_allclose(alone.probabilities, predictions[0].probabilities, atol=1e-6)


def test_open_files_and_buffers_are_images_too(predictor, tiny_bundle):
    path = tiny_bundle / "selftest" / "teal.jpg"
    data, (expected,) = path.read_bytes(), predictor.predict(path)
    for make in (io.BytesIO, bytearray, memoryview, lambda data: np.asarray(Image.open(io.BytesIO(data)))):
        for given in (make(data), [make(data)]):
            (found,) = predictor.predict(given)
            assert found.source == "image 0"
            np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-6)
    with path.open("rb") as file:
        (found,) = predictor.predict(file)
        assert found.source == str(path)
        assert not file.closed


def test_more_images_than_a_batch_keep_their_order(predictor, tiny_bundle):
    photographs = [tiny_bundle / "selftest" / f"{name}.jpg" for name in ("red", "teal", "grey")]
    many = photographs * 5  # 15 images, batches of 4
    scores = predictor.scores(many)
    assert scores.shape == (15, 4)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, np.tile(predictor.scores(photographs), (5, 1)), atol=1e-6)


def test_an_undecodable_image_is_named(predictor, tiny_bundle, tmp_path):
    good, bad = tiny_bundle / "selftest" / "red.jpg", tmp_path / "bad.jpg"
    bad.write_bytes(b"\xff\xd8 no more")
    for images in ([good, bad], [good] * 9 + [bad]):
        with pytest.raises(DataError, match="bad.jpg"):
            predictor.predict(images)


def test_no_image_is_no_prediction(predictor):
    assert predictor.predict([]) == []
    assert predictor.scores([]).shape == (0, 4)
    logits, probabilities = predictor.infer(np.empty((0, 16, 16, 3), np.uint8))
    assert logits.shape == probabilities.shape == (0, 4)


def test_labels_are_what_reaches_its_threshold_most_probable_first():
    prediction = Prediction(
        source="x",
        classes=("a", "b", "c", "d"),
        thresholds=(0.5, 0.5, 0.9, 0.1),
        probabilities=np.array([0.5, 0.75, 0.875, 0.125], np.float32),
    )
    assert list(prediction.labels.items()) == [("b", 0.75), ("a", 0.5), ("d", 0.125)]
    assert list(prediction.top(2).items()) == [("c", 0.875), ("b", 0.75)]


def test_a_zip_is_a_bundle_too(tiny_bundle, tmp_path):
    archive = zip_bundle(open_bundle(tiny_bundle), tmp_path / "tiny.zip")
    with runtime.load(archive) as loaded:
        assert list(loaded.predict(tiny_bundle / "selftest" / "red.jpg")[0].labels) == ["red"]


class Recorder(Backend):
    """Keeps what it is given; its logits are each image's mean."""

    def _load(self):
        self.batches, self.inputs, self.outputs = [], self.model.inputs, self.model.outputs

    def _run(self, feeds):
        (images,) = feeds.values()
        self.batches.append(images)
        logits = np.repeat(images.reshape(len(images), -1).mean(axis=1, keepdims=True), 4, axis=1).astype(np.float32)
        return {"logits": logits, "probabilities": logits}


def recording_predictor(tiny_bundle, **changes):
    opened = open_bundle(tiny_bundle)
    batch = changes.pop("batch", BatchRange(max=4))
    artifact = opened.manifest.artifacts[0]
    artifact = msgspec.structs.replace(artifact, target=msgspec.structs.replace(artifact.target, batch=batch))
    bundle = Bundle(opened.storage, msgspec.structs.replace(opened.manifest, **changes), b"")
    backend = Recorder(bundle.model(artifact))
    return Predictor(bundle.manifest, artifact, backend), backend


def test_outputs_of_another_number_of_images_are_told_in_a_line(tiny_bundle, monkeypatch):
    """As OpenVINO's int8 gives them on some Arm processors."""
    predictor, _ = recording_predictor(tiny_bundle)
    nothing = {name: np.zeros((0, 4), np.float32) for name in ("logits", "probabilities")}
    monkeypatch.setattr(Recorder, "_run", lambda self, feeds: nothing)
    with pytest.raises(InferenceError, match="^ort-fp32: the backend gave no logits for the images that it took"):
        predictor.infer(np.zeros((2, 16, 16, 3), np.uint8))


def test_batches_stay_within_the_artifact_s_range(tiny_bundle):
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
    predictor, backend = recording_predictor(tiny_bundle, batch=BatchRange(min=2, typical=2, max=7))
    logits, _ = predictor.infer(images)
    assert [len(batch) for batch in backend.batches] == [7, 2]
    np.testing.assert_allclose(logits[:, 0], images.mean(axis=(1, 2, 3)), rtol=1e-6)


def test_float32_graphs_get_normalised_images(tiny_bundle):
    preprocessing = Preprocessing(size=(16, 16))
    inputs = (TensorSpec(name="image", dtype="float32", shape=("batch", 3, 16, 16)),)
    changes = {"input": "float32_nchw", "preprocessing": preprocessing, "inputs": inputs}
    predictor, backend = recording_predictor(tiny_bundle, **changes)
    path = tiny_bundle / "selftest" / "grey.jpg"
    predictor.predict(path)
    expected = normalize(load_image(path, preprocessing)[None], preprocessing)
    assert backend.batches[0].dtype == np.float32
    np.testing.assert_array_equal(backend.batches[0], expected)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_threads_may_share_a_predictor(tiny_bundle, tiny_reference, backend):
    images = np.random.default_rng(1).integers(0, 256, (8, 50, 16, 16, 3), dtype=np.uint8)
    found = {}
    with runtime.load(tiny_bundle, backend=backend, threads=1) as predictor:
        workers = [
            threading.Thread(target=lambda i=i: found.update({i: predictor.infer(images[i])[0]})) for i in range(8)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    for i in range(8):
        np.testing.assert_allclose(found[i], tiny_reference(images[i]), atol=1e-4)


def test_a_refused_artifact_is_passed_over_with_its_reason(make_tiny_bundle, tmp_path, caplog):
    root = make_tiny_bundle(tmp_path / "b")
    path = root / "onnx" / "model.fp32.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with runtime.load(root) as loaded:
        assert loaded.artifact.name == "ov-fp32"
        assert "SHA-256 differs" in loaded.passed_over["ort-fp32"]
    assert "ort-fp32: passed over" in caplog.text
    with pytest.raises(BundleError, match="SHA-256 differs"):
        runtime.load(root, name="ort-fp32")


def test_what_export_verified_comes_before_what_it_could_not_run(make_tiny_bundle, tmp_path):
    opened = open_bundle(make_tiny_bundle(tmp_path / "b"))
    first, *rest = opened.manifest.artifacts
    unproven = msgspec.structs.replace(first, status="built_not_run")
    manifest = msgspec.structs.replace(opened.manifest, artifacts=(unproven, *rest))
    with runtime.load(Bundle(opened.storage, manifest, b"")) as loaded:
        assert loaded.artifact.name == "ov-fp32"


def test_a_bundle_that_is_altered_after_it_was_opened_is_noticed(make_tiny_bundle, tmp_path):
    opened = open_bundle(make_tiny_bundle(tmp_path / "b"))
    runtime.load(opened, name="ort-fp32").close()
    path = opened.root / "onnx" / "model.fp32.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(BundleError, match="SHA-256 differs"):
        runtime.load(opened, name="ort-fp32")


def test_outputs_that_are_no_numbers_are_an_error(tiny_bundle):
    predictor, backend = recording_predictor(tiny_bundle)
    backend._run = lambda feeds: dict.fromkeys(("logits", "probabilities"), np.full((1, 4), np.nan, np.float32))
    with pytest.raises(BundleError, match="its outputs hold NaN or infinity"):
        predictor.predict(tiny_bundle / "selftest" / "red.jpg")


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_closing_twice_is_fine_and_using_it_after_is_one_line(tiny_bundle, backend):
    predictor = runtime.load(tiny_bundle, backend=backend)
    predictor.close()
    predictor.close()
    for use in (predictor.predict, predictor.scores):
        with pytest.raises(BundleError, match="this predictor is closed"):
            use(tiny_bundle / "selftest" / "red.jpg")


def test_an_artifact_reports_at_its_own_temperature_and_thresholds(tiny_bundle, tiny_reference, at_operating_point):
    photo = tiny_bundle / "selftest" / "red.jpg"
    pixels = load_image(photo, open_bundle(tiny_bundle).manifest.preprocessing)[None]
    expected = 1 / (1 + np.exp(-tiny_reference(pixels)[0] / 2.5))
    # Midway to the next: the two most probable classes are reported, whatever the bundle's thresholds say.
    cut = float(np.sort(expected)[-3:-1].mean())
    opened = at_operating_point(open_bundle(tiny_bundle), "ort-fp32", 2.5, (cut,) * 4)
    with runtime.load(opened) as own, runtime.load(opened, name="ov-fp32") as other:
        found = own.predict(photo)[0]
        np.testing.assert_allclose(found.probabilities, expected, atol=1e-6)
        np.testing.assert_allclose(own.scores(photo)[0], expected, atol=1e-6)
        assert found.thresholds == (cut,) * 4
        assert set(found.labels) == {own.classes[i] for i in np.argsort(expected)[-2:]}
        logits, probabilities = own.infer(pixels)  # the graph's own
        np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-logits)), atol=1e-6)
        np.testing.assert_allclose(other.scores(photo), probabilities, atol=1e-5)
        assert other.predict(photo)[0].thresholds == opened.manifest.thresholds


def test_logits_that_are_no_numbers_are_an_error_at_any_temperature(tiny_bundle, at_operating_point):
    with runtime.load(at_operating_point(open_bundle(tiny_bundle), "ort-fp32", 2.0, (0.5,) * 4)) as predictor:
        endless = {name: np.full((1, 4), np.inf, np.float32) for name in ("logits", "probabilities")}
        predictor._backend._run = lambda feeds: endless
        with pytest.raises(BundleError, match="its outputs hold NaN or infinity"):
            predictor.predict(tiny_bundle / "selftest" / "red.jpg")


def test_logits_whose_squares_are_no_numbers_are_numbers_all_the_same(tiny_bundle, at_operating_point):
    with runtime.load(at_operating_point(open_bundle(tiny_bundle), "ort-fp32", 2.0, (0.5,) * 4)) as predictor:
        huge = {name: np.array([[3e38, -3e38, 0, 1e30]], np.float32) for name in ("logits", "probabilities")}
        predictor._backend._run = lambda feeds: huge
        for image in (tiny_bundle / "selftest" / "red.jpg", np.zeros((16, 16, 3), np.uint8)):
            np.testing.assert_array_equal(predictor.scores(image), [[1.0, 0.0, 0.5, 1.0]])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_of_one_array_are_refused_like_any_other(tiny_bundle, value):
    predictor, backend = recording_predictor(tiny_bundle)
    backend._run = lambda feeds: dict.fromkeys(("logits", "probabilities"), np.full((1, 4), value, np.float32))
    with pytest.raises(BundleError, match="its outputs hold NaN or infinity"):
        predictor.scores(np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(DataError, match="an array image must be uint8"):
        predictor.scores(np.zeros((16, 16, 2), np.uint8))
    predictor.close()
    with pytest.raises(BundleError, match="this predictor is closed"):
        predictor.scores(np.zeros((16, 16, 3), np.uint8))
