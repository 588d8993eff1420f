"""What a predictor takes for images, streams of them, several threads, and what it says of itself."""

import asyncio
import itertools
import shutil
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from edgedistill import runtime
from edgedistill.runtime.backends.base import Backend
from edgedistill.runtime.batches import SkippedImage
from edgedistill.runtime.bundle import open_bundle
from edgedistill.runtime.errors import BundleError, ConfigError, DataError
from edgedistill.runtime.predictor import Predictor
from edgedistill.runtime.preprocess import LOADERS

NAMES = ("grey", "red", "teal")  # as a folder is walked


@pytest.fixture(scope="module")
def predictor(tiny_bundle):
    with runtime.load(tiny_bundle, name="ort-fp32") as loaded:
        yield loaded


@pytest.fixture(scope="module")
def photographs(tiny_bundle):
    return [tiny_bundle / "selftest" / f"{name}.jpg" for name in NAMES]


@pytest.fixture(scope="module")
def expected(predictor, photographs):
    return np.concatenate([predictor.scores(path) for path in photographs])


def test_a_folder_a_generator_and_an_array_of_images_are_many(predictor, tiny_bundle, photographs, expected):
    folder = tiny_bundle / "selftest"
    for given in (folder, str(folder), iter(photographs), (path for path in photographs), tuple(photographs)):
        found = predictor.predict(given)
        assert [one.source for one in found] == [str(path) for path in photographs]
        np.testing.assert_allclose([one.probabilities for one in found], expected, atol=1e-6)
    arrays = np.stack([np.asarray(Image.open(path)) for path in photographs])
    np.testing.assert_allclose(predictor.scores(arrays), expected, atol=1e-6)


def test_a_dangling_link_costs_none_of_a_folder_s_other_images(predictor, tiny_bundle, tmp_path):
    shutil.copy(tiny_bundle / "selftest" / "red.jpg", tmp_path / "red.jpg")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nothing.jpg")
    skipped, red = predictor.predict_stream(tmp_path, bad="yield")
    assert (skipped.id, red.source) == (str(tmp_path / "gone.jpg"), str(tmp_path / "red.jpg"))
    assert "no such image" in skipped.sentence
    with pytest.raises(DataError, match=r"gone\.jpg: no such image"):
        predictor.predict(tmp_path)


def test_hidden_files_of_a_folder_are_left_out(predictor, tiny_bundle, tmp_path):
    (tmp_path / ".thumbnails").mkdir()
    (tmp_path / "._red.jpg").write_bytes(b"what macOS leaves beside it")
    for name in ("red.jpg", ".thumbnails/red.jpg"):
        shutil.copy(tiny_bundle / "selftest" / "red.jpg", tmp_path / name)
    assert [one.source for one in predictor.predict(tmp_path)] == [str(tmp_path / "red.jpg")]


def test_a_folder_without_images_is_told(predictor, tmp_path):
    with pytest.raises(DataError, match="the folder holds no image"):
        predictor.predict(tmp_path)


class Tensor:
    """As a framework's."""

    def __init__(self, *shape):
        self.shape = shape

    def __iter__(self):
        return iter([Tensor(*self.shape[1:])] * self.shape[0])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.zeros((3, 224, 224), np.float32), r"its channels come first: give `array.transpose\(1, 2, 0\)`"),
        (
            Tensor(3, 224, 224),
            r"a Tensor \(3, 224, 224\) is not an image.*`tensor.permute\(1, 2, 0\).cpu\(\).numpy\(\)`",
        ),
        ([Tensor(3, 224, 224)], r"a Tensor \(3, 224, 224\) is not an image"),
        (Tensor(224, 224, 3), r"uint8 \(H, W, 3\) in RGB order and not normalised, e.g. by `tensor.cpu\(\).numpy\(\)`"),
        (7, "an object of type int is not an image"),
    ],
)
def test_what_is_no_image_is_told_in_a_line_how_it_becomes_one(predictor, given, words):
    with pytest.raises(DataError, match=words):
        predictor.predict(given)


def test_a_stream_keeps_the_order_and_takes_little_ahead(predictor, photographs, expected):
    taken = itertools.count()

    def camera():
        for path in itertools.cycle(photographs):
            next(taken)
            yield path

    stream = predictor.predict_stream(camera())
    found = list(itertools.islice(stream, 30))
    stream.close()
    np.testing.assert_allclose([one.probabilities for one in found], np.tile(expected, (10, 1)), atol=1e-6)
    assert next(taken) <= 30 + 2 * 64
    with pytest.raises(ConfigError, match="batch_size 0"):
        predictor.predict_stream(photographs, batch_size=0)
    with pytest.raises(ConfigError, match="bad 'skip': one of raise, yield"):
        predictor.predict_stream(photographs, bad="skip")


@pytest.mark.parametrize("batch_size", [1, 2, 9])
def test_a_bad_image_in_a_stream_costs_no_others(predictor, photographs, expected, tmp_path, batch_size):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(photographs[0].read_bytes()[:200])
    given = [bad, photographs[0], bad, photographs[1], photographs[2]]
    found = list(predictor.predict_stream(given, batch_size=batch_size, bad="yield"))
    assert [type(one) is SkippedImage for one in found] == [True, False, True, False, False]
    assert (found[2].index, found[2].id) == (2, str(bad))
    assert found[2].sentence.startswith(f"{bad}: cannot be decoded (")
    np.testing.assert_allclose([found[i].probabilities for i in (1, 3, 4)], expected, atol=1e-6)
    stream = predictor.predict_stream(given[1:], batch_size=batch_size)
    assert next(stream).source == str(photographs[0])
    with pytest.raises(DataError, match="bad.jpg"):
        next(stream)


def test_decoding_and_inference_overlap(tiny_bundle, photographs, monkeypatch):
    """Each takes 100 ms; one after the other, 8 images would take 1.6 s, overlapping 0.9 s at best."""
    bundle = open_bundle(tiny_bundle)
    artifact = bundle.manifest.artifacts[0]

    class Slow(Backend):
        def _load(self):
            self.inputs, self.outputs = self.model.inputs, self.model.outputs

        def _run(self, feeds):
            time.sleep(0.1)
            return {name: np.zeros((1, 4), np.float32) for name in ("logits", "probabilities")}

    decode = LOADERS["full"]
    monkeypatch.setitem(LOADERS, "full", lambda *given: time.sleep(0.1) or decode(*given))
    monkeypatch.setattr("edgedistill.runtime.predictor.predictor.usable_cores", lambda: 2)
    with Predictor(bundle.manifest, artifact, Slow(bundle.model(artifact))) as predictor:
        began = time.monotonic()
        assert len(list(predictor.predict_stream(photographs[:2] * 4))) == 8
        assert time.monotonic() - began < 1.4


def test_an_event_loop_goes_on_meanwhile(predictor, photographs, expected):
    async def main():
        found = await asyncio.gather(*(predictor.apredict(path) for path in photographs))
        return [one.probabilities for (one,) in found]

    np.testing.assert_allclose(asyncio.run(main()), expected, atol=1e-6)


class Meeting(Backend):
    """Two inferences that must be under way at once, or must not."""

    def _load(self):
        self.inputs, self.outputs = self.model.inputs, self.model.outputs
        self.inside, self.most = 0, 0

    def _run(self, feeds):
        self.inside += 1
        self.most = max(self.most, self.inside)
        time.sleep(0.02)
        self.inside -= 1
        return {name: np.zeros((1, 4), np.float32) for name in ("logits", "probabilities")}


@pytest.mark.parametrize("concurrent", [True, False])
def test_several_threads_infer_at_once_where_the_backend_allows_it(tiny_bundle, concurrent):
    bundle = open_bundle(tiny_bundle)
    artifact = bundle.manifest.artifacts[0]
    backend = type("_", (Meeting,), {"concurrent": concurrent})(bundle.model(artifact))
    with Predictor(bundle.manifest, artifact, backend) as predictor:
        image = np.zeros((16, 16, 3), np.uint8)
        workers = [threading.Thread(target=predictor.scores, args=(image,)) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert (backend.most > 1) == concurrent


def test_closing_in_the_middle_of_a_stream_is_told(tiny_bundle, photographs):
    predictor = runtime.load(tiny_bundle)
    stream = predictor.predict_stream(itertools.cycle(photographs))
    next(stream)
    predictor.close()
    with pytest.raises((BundleError, ValueError), match="closed"):
        list(stream)
    with pytest.raises(BundleError, match="closed"):
        predictor.predict_stream(photographs)


def test_ready_pixels_reach_the_backend_as_they_are(tiny_bundle):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    with runtime.load(tiny_bundle, name="ort-fp32") as predictor:
        given, infer = [], predictor._backend.infer
        predictor._backend.infer = lambda images: given.append(images) or infer(images)
        predictor.scores(pixels)
    assert np.shares_memory(given[0], pixels)


def test_scores_of_ready_pixels_take_few_steps_beside_the_session(tiny_bundle, at_operating_point):
    """What they cost is counted and not timed: after a network nothing of Python is in the caches, call by call."""

    def calls(work) -> int:
        work()
        seen = []
        sys.setprofile(lambda frame, event, _: seen.append(event) if event in ("call", "c_call") else None)
        try:
            work()
        finally:
            sys.setprofile(None)
        return len(seen)

    pixels = np.zeros((16, 16, 3), np.uint8)
    with runtime.load(at_operating_point(open_bundle(tiny_bundle), "ort-fp32", 2.0, (0.5,) * 4)) as predictor:
        session, names = predictor._backend._session, ["logits", "probabilities"]
        bare = calls(lambda: session.run(names, {"image": pixels[None]}))
        assert calls(lambda: predictor.scores(pixels)) - bare <= 40


def test_warming_up_runs_that_many_blank_images(tiny_bundle, monkeypatch):
    asked = []
    monkeypatch.setattr(Predictor, "infer", lambda self, images: asked.append(images.shape))
    runtime.load(tiny_bundle, warm_up=2).close()
    assert asked == [(1, 16, 16, 3)] * 2


def test_what_fails_to_warm_up_is_closed(tiny_bundle, monkeypatch):
    closed = []

    def fail(self, images):
        raise BundleError("the graph fails")

    monkeypatch.setattr(Predictor, "infer", fail)
    monkeypatch.setattr(Predictor, "close", lambda self: closed.append(self.artifact.name))
    file = next(tiny_bundle.rglob("*.onnx"))
    for load, path in ((runtime.load, tiny_bundle), (runtime.load_file, file)):
        with pytest.raises(BundleError, match="the graph fails"):
            load(path, warm_up=1)
    assert len(closed) == 2


def test_reduced_decoding_is_asked_for_and_said(tiny_bundle, tmp_path):
    path = tmp_path / "large.jpg"
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((800, 600)).save(path, quality=90)
    with runtime.load(tiny_bundle) as full, runtime.load(tiny_bundle, decode="reduced") as reduced:
        difference = np.abs(full.scores(path) - reduced.scores(path)).max()
        assert 0 < difference < 0.01
        assert full.predict(path)[0].labels.keys() == reduced.predict(path)[0].labels.keys()
        assert "images decoded in full>" in repr(full)
        assert "images decoded at reduced scale by" in repr(reduced)
    with pytest.raises(ConfigError, match="decode 'half': one of full, reduced"):
        runtime.load(tiny_bundle, decode="half")


def test_a_predictor_a_bundle_and_a_prediction_say_what_they_are(predictor, tiny_bundle, photographs):
    assert repr(predictor).startswith("<Predictor ort-fp32 of tiny: 4 classes, 16x16, fp32 by onnxruntime ")
    bundle = open_bundle(tiny_bundle)
    held = "ort-fp32 (verified), ov-fp32 (verified), ov-bf16 (verified)"
    assert repr(bundle) == f"<Bundle tiny at {tiny_bundle}: 4 classes, 16x16; {held}>"
    (prediction,) = predictor.predict(photographs[1])
    assert repr(prediction).startswith(f"<Prediction {photographs[1]}: red ")
