"""From a photograph to its labels: each step is timed, on the photograph that is named."""

import numpy as np
import pytest
from bench_cases import run
from PIL import Image

from edgedistill import runtime
from edgedistill.runtime.errors import ConfigError, DataError


def test_the_bundle_s_first_photograph_is_timed_step_by_step(make_tiny_bundle, tmp_path, monkeypatch):
    root = make_tiny_bundle(tmp_path / "b")
    report = run(root, monkeypatch)
    spans = report.artifacts[0].spans
    assert (spans.photo, spans.width, spans.height) == ("selftest/red.jpg", 40, 30)
    assert spans.bytes == (root / "selftest" / "red.jpg").stat().st_size
    assert min(spans.decode_ms, spans.resize_ms, spans.infer_ms, spans.post_ms, spans.total_ms) > 0
    assert report.preprocess_ms == spans.decode_ms + spans.resize_ms


def test_a_photograph_of_one_s_own(make_tiny_bundle, tmp_path, monkeypatch):
    photo = tmp_path / "mine.png"
    Image.fromarray(np.full((600, 800, 3), 99, np.uint8)).save(photo)
    root = make_tiny_bundle(tmp_path / "b")
    spans = run(root, monkeypatch, photo=photo).artifacts[0].spans
    assert (spans.photo, spans.width, spans.height) == (str(photo), 800, 600)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"broken\.jpg"):
        runtime.benchmark(root, photo=broken)
    with pytest.raises(ConfigError, match="a model file alone has no labels"):
        runtime.benchmark(root / "onnx" / "model.fp32.onnx", photo=photo)


def test_a_model_file_alone_has_none(tiny_bundle, tmp_path, monkeypatch):
    model = tmp_path / "model.onnx"
    model.write_bytes((tiny_bundle / "onnx" / "model.fp32.onnx").read_bytes())
    report = run(model, monkeypatch, artifacts=None)
    assert (report.artifacts[0].status, report.artifacts[0].spans, report.preprocess_ms) == ("ran", None, None)


@pytest.mark.parametrize("fault", ["_ask", "start"])
def test_what_fails_on_the_photograph_costs_nothing_else(make_tiny_bundle, tmp_path, monkeypatch, fault):
    from edgedistill.runtime.bench import artifact_run

    real = getattr(artifact_run.ArtifactRun, fault)

    def fail(self, *arguments):
        if fault == "start" and len(self._turns) == 2:
            self._give_up(artifact_run.NotRunnable("exchanged", refused=True))
        elif fault == "_ask" and "photograph" in arguments[-1]:
            self.worker._process.kill()
        return real(self, *arguments)

    monkeypatch.setattr(artifact_run.ArtifactRun, fault, fail)
    report = run(make_tiny_bundle(tmp_path / "b"), monkeypatch, one_at_a_time=True)
    assert (report.artifacts[0].status, report.artifacts[0].spans) == ("ran", None)
    assert len(report.artifacts[0].turns) == 2
