"""An artifact that cannot run, lies or was tampered with."""

import numpy as np
import pytest
from verify_cases import QUICK, by_name

from edgedistill.runtime import selftest, verify
from edgedistill.runtime.backends.base import BACKENDS
from edgedistill.runtime.errors import BundleError, DataError, MissingDependencyError


def test_what_cannot_run_here_is_reported_and_what_is_at_fault_fails(bundle, data, logits, fake, tiny_reference):
    def breaks(images):
        raise RuntimeError("out of memory")

    opened = fake(ort_fp32=tiny_reference, ov_fp32=MissingDependencyError("openvino is not installed."), ov_bf16=breaks)
    report = verify(bundle, data, reference=logits, **QUICK)
    found = by_name(report)
    assert [found[name].verdict for name in ("ort-fp32", "ov-fp32", "ov-bf16")] == [
        "not judged",
        "could not run",
        "failed",
    ]
    assert found["ov-fp32"].reason == "openvino is not installed."
    assert "out of memory" in found["ov-bf16"].reason
    assert not report.passed
    assert verify(bundle, data, reference=logits, precision="fp32", **QUICK).verdict == "not judged"
    assert all(backend.closed for backend in opened.backends)


def test_outputs_that_are_not_numbers_fail(bundle, data, logits, fake, tiny_reference):
    fake(ort_fp32=tiny_reference, ov_fp32=lambda images: np.full((len(images), 4), np.nan))
    found = by_name(verify(bundle, data, reference=logits, precision="fp32", **QUICK))
    assert found["ov-fp32"].verdict == "failed"
    assert "NaN" in found["ov-fp32"].reason
    assert found["ort-fp32"].verdict == "not judged"


def test_probabilities_that_are_another_function_fail(bundle, data, logits, monkeypatch):
    """Apps read the probabilities, the mAP rests on the logits: right logits alone are not enough."""
    kind = BACKENDS.get("onnxruntime")
    honest = kind._run

    def inverted(self, feeds):
        outputs = honest(self, feeds)
        return {**outputs, "probabilities": 1 - outputs["probabilities"]}

    monkeypatch.setattr(kind, "_run", inverted)
    with pytest.raises(BundleError, match="probabilities are not the sigmoid") as refused:
        verify(bundle, data, reference=logits, artifacts=["ort-fp32"])
    assert refused.value.exit_code == 1
    (tested,) = selftest(bundle, artifacts=["ort-fp32"]).artifacts
    assert tested.verdict == "failed"
    assert "probabilities are not the sigmoid" in tested.sentence


def test_a_tampered_artifact_is_refused(bundle, data, logits):
    path = bundle.root / "onnx" / "model.fp32.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    report = verify(bundle, data, reference=logits, precision="fp32", **QUICK)
    assert by_name(report)["ort-fp32"].verdict == "failed"
    assert "SHA-256" in by_name(report)["ort-fp32"].reason
    assert not report.passed
    with pytest.raises(BundleError, match=r"no artifact could be run here.*SHA-256"):
        verify(bundle, data, reference=logits, backend="onnxruntime", **QUICK)
    with pytest.raises(DataError, match=r"its reference ort-fp32 does not run here.*SHA-256"):
        verify(bundle, data, artifacts=["ov-fp32"], **QUICK)


def test_nothing_runnable_is_an_error_that_names_every_reason(bundle, data, logits, fake):
    missing = MissingDependencyError("not installed: pip install x.")
    fake(ort_fp32=missing, ov_fp32=missing, ov_bf16=missing)
    with pytest.raises(MissingDependencyError, match=r"ort-fp32: not installed.*ov-bf16: not installed"):
        verify(bundle, data, reference=logits, **QUICK)
