"""What a request's digest depends on, and when a bundle is what it asks for."""

import inspect
import json

import numpy as np
import pytest

from edgedistill.export import repeating
from edgedistill.export.builders import BUILDERS
from edgedistill.export.quantization.calibration import Calibration
from edgedistill.export.repeating import made_already, request_digest
from edgedistill.runtime.bundle import Ancestor, Lineage
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.metrics import threshold_rule
from edgedistill.runtime.targets import load_target


def taught(by: str, points: float = 70.0) -> Lineage:
    return Lineage(networks=(Ancestor(role="student", model="mobilenetv2", taught_by=by, mAP=points),))


def test_every_part_of_a_request_tells(photographs):
    target = load_target("onnxruntime-cpu-fp32")
    data, other = (
        Dataset("split", ("cat",), (name,), [np.zeros((2, 2, 3), np.uint8)], np.ones((1, 1), np.int8)) for name in "ab"
    )
    asked = {
        "network_sha256": "ab",
        "targets": [target],
        "validation": data,  # without it there is no rule for thresholds
        "thresholds": threshold_rule("best_f1"),
    }
    changes = {
        "network_sha256": "cd",
        "targets": [load_target("openvino-cpu-fp32")],
        "name": "other",
        "input": "float32_nchw",
        "opset": 18,
        "outputs": ["embedding"],
        "golden": photographs,
        "references": [data],
        "calibration": Calibration(data, data),
        "validation": other,
        "thresholds": threshold_rule("recall=0.8"),
        "lineage": taught("mdkd"),
    }
    assert set(changes) == set(inspect.signature(request_digest).parameters)
    same = request_digest(**asked)
    digests = {request_digest(**(asked | {key: value})) for key, value in changes.items()}
    assert same == request_digest(**asked)
    assert len({same, *digests}) == 1 + len(changes)
    assert request_digest(**asked, lineage=taught("mdkd")) != request_digest(**asked, lineage=taught("mld"))
    # Another evaluation may differ in a last digit, which makes no other bundle.
    assert request_digest(**asked, lineage=taught("mdkd")) == request_digest(**asked, lineage=taught("mdkd", 70.001))


def test_a_cpu_that_wants_other_int8_weights_makes_another_request(monkeypatch):
    for name, tells in (("onnxruntime-cpu-int8", True), ("onnxruntime-cpu-fp32", False)):
        digests = set()
        for exact in (True, False):
            monkeypatch.setattr(repeating, "multiplies_exactly", lambda exact=exact: exact)
            digests.add(request_digest("ab", [load_target(name)]))
        assert len(digests) == 1 + tells


@pytest.mark.parametrize("missing", ["", "openvino is not installed"])
def test_what_failed_is_made_again_where_its_toolchain_is_here_now(make_tiny_bundle, tmp_path, monkeypatch, missing):
    """Else every repeated export would lose what devices found of the other artifacts."""
    bundle = make_tiny_bundle(tmp_path / "b")
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["provenance"]["request_sha256"] = "ab"
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    assert made_already(bundle, "ab") is not None
    assert made_already(bundle, "cd") is None
    failed = {**manifest["artifacts"][0], "name": "failed", "status": "failed", "reason": "it is missing", "files": []}
    failed["target"] = {**failed["target"], "name": "failed", "backend": "openvino"}
    (bundle / "manifest.json").write_text(json.dumps(manifest | {"artifacts": [*manifest["artifacts"], failed]}))
    monkeypatch.setattr(BUILDERS.get("openvino"), "toolchain_missing", lambda target: missing)
    assert (made_already(bundle, "ab") is None) is (not missing)
