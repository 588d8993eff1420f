"""Labels over HTTP are the predictor's; what is no image, too much or too slow is one line with its status."""

import io
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from PIL import Image

from edgedistill import runtime
from edgedistill.runtime.errors import BundleError, ConfigError
from edgedistill.runtime.serving.limits import Limits

for needed in ("fastapi", "prometheus_client", "httpx"):
    pytest.importorskip(needed)
from fastapi.testclient import TestClient  # noqa: E402

from edgedistill.runtime.serving.app import build_app  # noqa: E402


def counted(client, name: str) -> float:
    """A number of /metrics."""
    (value,) = re.findall(rf"^{re.escape(name)} (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return float(value)


def test_labels_are_the_predictor_s(serving, tiny_bundle, photo):
    client, _ = serving()
    with runtime.load(tiny_bundle, backend="onnxruntime") as predictor:
        for path in sorted((tiny_bundle / "selftest").iterdir()):
            answer = client.post("/predict", content=path.read_bytes())
            assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
            expected = predictor.predict(path)[0]
            assert answer.json() == {"labels": expected.labels}
            assert list(answer.json()["labels"]) == list(expected.labels)  # the most probable first
    assert len(client.post("/predict?top=3", content=photo).json()["labels"]) == 3


def test_images_that_come_together_are_inferred_together_and_each_gets_its_own_labels(serving, tiny_bundle):
    client, predictor = serving(batch=3, window_ms=1000)
    photos = [path.read_bytes() for path in sorted((tiny_bundle / "selftest").iterdir())]
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda photo: client.post("/predict", content=photo).json()["labels"], photos))
    assert answers == [pytest.approx(one.labels) for one in predictor.predict(photos)]
    assert counted(client, "edgedistill_batch_images_count") == 1
    assert counted(client, "edgedistill_batch_images_sum") == 3


def test_large_photographs_may_be_decoded_reduced(tiny_bundle, photo):
    stream = io.BytesIO()
    with Image.open(io.BytesIO(photo)) as small:
        small.resize((640, 480)).save(stream, "JPEG")
    predictor = runtime.load(tiny_bundle, backend="onnxruntime", decode="reduced")
    with TestClient(build_app(predictor)) as client:
        answer = client.post("/predict?top=4", content=stream.getvalue()).json()
        assert answer["labels"] == predictor.predict(stream.getvalue())[0].top(4)


def test_where_no_class_reaches_its_threshold_the_best_are_told(serving, photo):
    client, predictor = serving()
    predictor.manifest = msgspec.structs.replace(predictor.manifest, thresholds=(1.0,) * 4)
    answer = client.post("/predict", content=photo).json()
    assert answer == {"labels": {}, "top": predictor.predict(photo)[0].top(3)}


@pytest.mark.parametrize(
    ("content", "headers", "status", "says"),
    [
        (b"no image", {}, 422, "cannot be decoded"),
        (b"", {}, 400, "the body is empty"),
        (b"x", {"content-type": "multipart/form-data; boundary=x"}, 415, "curl --data-binary"),
        (b"x" * 2001, {}, 413, "more than the 0.002 MB"),
    ],
)
def test_what_is_no_image_is_one_line(serving, photo, content, headers, status, says):
    client, _ = serving(megabytes=0.002)
    answer = client.post("/predict", content=content, headers=headers)
    assert answer.status_code == status
    assert says in answer.json()["error"]
    assert "\n" not in answer.json()["error"]
    assert client.post("/predict", content=photo).status_code == 200  # nothing is the worse for it
    assert counted(client, f'edgedistill_requests_total{{code="{status}"}}') == 1


def test_a_body_without_a_length_is_bounded_too(serving):
    client, _ = serving(megabytes=0.002)
    answer = client.post("/predict", content=iter([b"x" * 1500] * 1000))
    assert answer.status_code == 413


def test_an_image_of_too_many_pixels_is_refused_by_its_header(serving, monkeypatch):
    client, _ = serving(megapixels=0.01)
    monkeypatch.setattr("edgedistill.runtime.images.decoding.decoded", None)  # it is not decoded
    stream = io.BytesIO()
    Image.new("RGB", (101, 100)).save(stream, "PNG")
    answer = client.post("/predict", content=stream.getvalue())
    assert (answer.status_code, answer.json()) == (
        413,
        {"error": "the image has 101 x 100 pixels, more than the 0.01 megapixels taken here."},
    )


def test_so_is_one_of_more_than_are_ever_decoded(serving, monkeypatch):
    client, _ = serving()
    stream = io.BytesIO()
    Image.new("RGB", (101, 100)).save(stream, "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5000)
    answer = client.post("/predict", content=stream.getvalue())
    assert answer.status_code == 413
    assert "cannot be decoded (too large: " in answer.json()["error"]


def test_a_wrong_option_is_one_line(serving, photo):
    client, _ = serving()
    answer = client.post("/predict?top=0", content=photo)
    assert (answer.status_code, list(answer.json())) == (422, ["error"])
    assert answer.json()["error"].startswith("top: ")


def test_images_beyond_the_limit_are_refused_at_once_and_none_is_lost(serving, photo, monkeypatch):
    client, predictor = serving(pending=2)
    gate, entered, infer = threading.Event(), threading.Semaphore(0), predictor._infer

    def held(images, _backend):
        entered.release()
        gate.wait(10)
        return infer(images)

    monkeypatch.setattr(predictor, "_infer", held)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(client.post, "/predict", content=photo)
        assert entered.acquire(timeout=10)
        second = pool.submit(client.post, "/predict", content=photo)
        while counted(client, "edgedistill_pending_images") < 2:
            pass
        refused = client.post("/predict", content=photo)
        health = client.get("/health/ready")
        gate.set()
        assert [one.result().status_code for one in (first, second)] == [200, 200]
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert "2 images are under way" in refused.json()["error"]
    assert (health.status_code, health.json()) == (503, {"status": "full"})
    assert client.get("/health/ready").json() == {"status": "ready"}
    assert counted(client, "edgedistill_pending_images") == 0


def test_a_failed_inference_is_told_to_its_images_and_the_next_is_answered(serving, photo, monkeypatch, caplog):
    client, predictor = serving()
    infer = predictor._infer

    def fail_once(_images, _backend):
        monkeypatch.setattr(predictor, "_infer", infer)
        raise BundleError("the device was lost.")

    monkeypatch.setattr(predictor, "_infer", fail_once)
    answer = client.post("/predict", content=photo)
    assert (answer.status_code, answer.json()) == (500, {"error": "the device was lost."})
    assert "the device was lost" in caplog.text
    assert client.post("/predict", content=photo).status_code == 200


def test_a_bug_is_logged_and_not_shown(serving, photo, monkeypatch, caplog):
    client, predictor = serving()
    monkeypatch.setattr(predictor, "_infer", lambda *_: 1 / 0)
    answer = client.post("/predict", content=photo)
    assert (answer.status_code, answer.json()) == (500, {"error": "a fault of the server: its log says which."})
    assert "ZeroDivisionError" in caplog.text


def test_it_says_what_it_serves_and_how_it_is(serving, tiny_bundle):
    client, predictor = serving()
    served = client.get("/model").json()
    assert served["classes"] == list(predictor.classes)
    assert (served["artifact"], served["size"]) == ("ort-fp32", [16, 16])
    assert served["effective"]["precision"] == "fp32"
    assert client.get("/health/live").json() == {"status": "live"}
    for answer, status, says in (
        (client.get("/nowhere"), 404, "GET /nowhere: Not Found"),
        (client.get("/predict"), 405, "GET /predict: Method Not Allowed"),
    ):
        assert answer.status_code == status
        assert answer.json() == {"error": f"{says}. /docs lists what there is."}


def test_openapi_describes_every_answer(serving):
    client, _ = serving()
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {"/predict", "/model", "/health/live", "/health/ready", "/metrics"}
    predict = described["paths"]["/predict"]["post"]
    assert set(predict["responses"]) == {"200", "400", "408", "413", "415", "422", "500", "503"}
    assert predict["requestBody"]["content"] == {"image/*": {"schema": {"type": "string", "format": "binary"}}}
    assert {"Labels", "Served", "Fault", "Health"} <= set(described["components"]["schemas"])
    json.dumps(described)


def test_metrics_are_prometheus_text(serving, photo):
    from prometheus_client.parser import text_string_to_metric_families

    client, _ = serving()
    for _ in range(3):
        client.post("/predict", content=photo)
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    values = {
        sample.name: sample.value for family in families.values() for sample in family.samples if not sample.labels
    }
    for name in ("request_seconds", "decode_seconds"):
        assert values[f"edgedistill_{name}_count"] == 3
    assert values["edgedistill_batch_images_sum"] == 3
    assert families["edgedistill_artifact_info"].samples[0].labels["artifact"] == "ort-fp32"


@pytest.mark.parametrize(
    "limits",
    [
        {"window_ms": -1},
        {"window_ms": float("nan")},
        {"window_ms": 1e9},
        {"batch": 0},
        {"batch": 5},
        {"pending": 0},
        {"megabytes": 0},
        {"megapixels": float("nan")},
        {"body_seconds": -1},
        {"stop_seconds": 0},
        {"stop_seconds": float("inf")},
        {"megabytes": float("inf")},
    ],
)
def test_a_limit_without_sense_is_one_line(tiny_bundle, limits):
    with runtime.load(tiny_bundle, backend="onnxruntime") as predictor, pytest.raises(ConfigError):
        build_app(predictor, Limits(**limits))
