"""Which drops pass, fail or decide nothing, and who is not judged."""

import re

import numpy as np
import pytest
from verify_cases import CLASSES, blind_to_blue, by_name, changed, flat, gated, without_golden

from edgedistill.runtime import verify


def test_a_worse_artifact_fails_its_gate_and_the_report_says_which_class_lost(bundle, fake, tiny_reference):
    data = flat(tiny_reference, 600)
    logits = tiny_reference(np.stack(data.images))
    fake(ort_fp32=tiny_reference, ov_fp32=blind_to_blue(tiny_reference))
    judged = without_golden(gated(bundle))
    report = verify(judged, data, reference=logits, artifacts=["ort-fp32", "ov-fp32"])
    good, bad = by_name(report)["ort-fp32"], by_name(report)["ov-fp32"]
    assert good.verdict == "passed"
    assert good.drop.estimate == 0.0
    assert 0.0 < good.drop.high < 1.0  # what was not seen may still be there
    assert bad.verdict == report.verdict == "failed"
    assert [gate.verdict for gate in bad.gates] == ["failed", "failed"]
    assert [entry.name for entry in bad.losses] == ["blue"]
    assert bad.drop.low <= bad.drop.estimate <= bad.drop.high
    assert bad.drop.estimate == pytest.approx(bad.losses[0].drop.estimate / len(CLASSES))
    assert bad.gates[0].observed == bad.drop.estimate
    assert bad.unchanged_images < 1.0


@pytest.mark.parametrize("images", [1, 2, 3, 30])
def test_too_few_images_decide_nothing(bundle, fake, tiny_reference, images):
    """An inverted model on a few images once passed: the resampled drop was 0 [0, 0]."""
    data = flat(tiny_reference, images)
    logits = tiny_reference(np.stack(data.images))
    fake(ort_fp32=lambda pixels: -tiny_reference(pixels))
    (artifact,) = verify(without_golden(gated(bundle)), data, reference=logits, artifacts=["ort-fp32"]).artifacts
    assert artifact.verdict == "undecided"
    assert artifact.drop.low is None
    assert "more" in artifact.gates[0].sentence or "no image shows" in artifact.gates[0].sentence


def test_an_undecided_gate_says_how_many_more_images(bundle, fake, tiny_reference):
    data = flat(tiny_reference, 80)
    logits = tiny_reference(np.stack(data.images))
    fake(ort_fp32=tiny_reference)
    strict = changed(bundle, ort_fp32={"gates": {"max_map_drop": 0.05}})
    (artifact,) = verify(strict, data, reference=logits, artifacts=["ort-fp32"]).artifacts
    assert artifact.verdict == "undecided"
    assert re.search(r"straddles the limit of 0.05 points; about [\d,]+ more images", artifact.gates[0].sentence)


def test_without_a_gate_an_inverted_model_is_not_called_passed(bundle, data, logits, fake, tiny_reference):
    fake(ort_fp32=lambda pixels: -tiny_reference(pixels))
    report = verify(without_golden(bundle), data, reference=logits, artifacts=["ort-fp32"])
    assert report.verdict == report.artifacts[0].verdict == "not judged"
    assert not report.passed
    assert verify(bundle, data, reference=logits, artifacts=["ort-fp32"]).verdict == "failed"  # its own photographs


def test_a_gate_of_a_newer_version_is_not_judged_and_never_passed(bundle, data, logits, fake, tiny_reference):
    fake(ort_fp32=tiny_reference)
    newer = changed(bundle, ort_fp32={"gates": {"max_bytes": 10**9, "max_watts": 5}})
    (artifact,) = verify(newer, data, reference=logits, artifacts=["ort-fp32"]).artifacts
    assert [(gate.name, gate.verdict) for gate in artifact.gates] == [
        ("max_bytes", "passed"),
        ("max_watts", "not judged"),
    ]
    assert artifact.verdict == "not judged"
    assert "max_watts is unknown to this edgedistill" in artifact.gates[1].sentence


def test_an_artifact_is_not_judged_against_itself(bundle, data):
    """Without a stored reference the fp32 ONNX file serves: its own drop is 0 whatever it computes."""
    judged = changed(bundle, ort_fp32={"gates": {"max_map_drop": 5.0}}, ov_fp32={"gates": {"max_map_drop": 5.0}})
    report = verify(judged, data, artifacts=["ort-fp32", "ov-fp32"])
    (gate,) = by_name(report)["ort-fp32"].gates
    assert gate.verdict == by_name(report)["ort-fp32"].verdict == "not judged"
    assert "it is the reference here" in gate.sentence
    assert not report.reference.stored
    assert by_name(report)["ov-fp32"].verdict == "undecided"  # 40 images
