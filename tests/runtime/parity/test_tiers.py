"""Numbers, decisions, metrics: what each tier of a report says, and who is held to which reference."""

import msgspec
import numpy as np
import pytest
from verify_cases import CLASSES, QUICK, blind_to_blue, by_name, changed, flat, without_golden

from edgedistill.runtime import metrics, verify
from edgedistill.runtime.errors import BundleError, ConfigError
from edgedistill.runtime.parity import ParityReport, parity_page


def test_the_bundles_own_photographs_are_the_first_tier(bundle, data, logits):
    report = verify(bundle, data, reference=logits, artifacts=["ort-fp32"], **QUICK)
    golden = report.artifacts[0].golden
    assert golden.verdict == "passed"
    assert len(golden.images) == 3
    assert golden.mean_abs_logit < 1e-4


def test_other_outputs_for_them_fail_whatever_the_map_says(bundle, data, logits, fake, tiny_reference):
    """A monotone change of all logits costs no mAP at all."""
    fake(ort_fp32=lambda images: 2 * tiny_reference(images))
    (artifact,) = verify(bundle, data, reference=logits, artifacts=["ort-fp32"], **QUICK).artifacts
    assert artifact.drop.estimate == 0.0
    assert artifact.golden.verdict == artifact.verdict == "failed"
    assert artifact.gates[0].name == "golden_set"
    assert "the bundle's own photographs give other outputs than at export: 3 of 3" in artifact.gates[0].sentence


def test_flips_are_counted_per_class_and_held_against_the_annotations(bundle, data, logits, fake, tiny_reference):
    fake(ort_fp32=blind_to_blue(tiny_reference))  # its blue is 0, a probability of exactly the threshold
    (artifact,) = verify(bundle, data, reference=logits, artifacts=["ort-fp32"], **QUICK).artifacts
    before = metrics.sigmoid(logits)[:, 2] >= 0.5
    flips, blue = artifact.flips, artifact.classes[2]
    assert (flips.gained, flips.lost) == (blue.gained, blue.lost) == ((~before).sum(), 0)
    assert flips.images == flips.gained
    assert flips.mended == ((~before) & (data.labels[:, 2] == 1)).sum()
    assert flips.mended + flips.broken == flips.gained
    assert flips.same.estimate == artifact.unchanged_images == (40 - flips.images) / 40
    assert flips.same.low < flips.same.estimate < flips.same.high
    first = artifact.changed[0]
    assert (first.gained, first.lost, first.name, first.after) == (("blue",), (), "blue", 0.5)
    assert [len(one.gained) for one in artifact.changed] == sorted(
        (len(o.gained) for o in artifact.changed), reverse=True
    )
    assert len({one.id for one in artifact.changed}) == len(artifact.changed) <= 24
    assert [entry.name for entry in artifact.changed_classes] == ["blue"]


def test_of1_and_cf1_stand_with_their_protocol_and_their_drop(bundle, fake, tiny_reference):
    data = flat(tiny_reference, 200)
    reference = tiny_reference(np.stack(data.images))
    fake(ort_fp32=blind_to_blue(tiny_reference))
    (artifact,) = verify(bundle, data, reference=reference, artifacts=["ort-fp32"]).artifacts
    thresholds = np.array(bundle.manifest.thresholds)
    whole = metrics.evaluate(metrics.sigmoid(reference), data.labels, thresholds)
    found = artifact.labels
    assert found.protocol == "per_class"
    for name in ("OF1", "CF1"):
        drop = getattr(found, f"{name}_drop")
        assert drop.estimate == pytest.approx(whole[name] - getattr(found, name))
        assert drop.low < drop.estimate < drop.high


@pytest.mark.parametrize(("preset", "images", "verdict"), [("99", 150, "passed"), ("99.9", 70, "undecided")])
def test_a_preset_is_a_share_of_the_references_map(bundle, fake, tiny_reference, preset, images, verdict):
    data = flat(tiny_reference, images)
    reference = tiny_reference(np.stack(data.images))
    fake(ort_fp32=tiny_reference)
    report = verify(bundle, data, reference=reference, artifacts=["ort-fp32"], preset=preset)
    (gate,) = report.artifacts[0].gates
    assert (report.preset, gate.name, gate.observed, gate.verdict) == (preset, f"preset_{preset}", 0.0, verdict)
    assert report.verdict == verdict


def test_a_preset_fails_where_too_much_is_lost(bundle, fake, tiny_reference):
    data = flat(tiny_reference, 600)
    reference = tiny_reference(np.stack(data.images))
    fake(ort_fp32=blind_to_blue(tiny_reference))
    bare = without_golden(bundle)
    (artifact,) = verify(bare, data, reference=reference, artifacts=["ort-fp32"], preset="99").artifacts
    (gate,) = artifact.gates
    assert gate.verdict == artifact.verdict == "failed"
    ours, theirs = artifact.mean_ap.estimate, artifact.mean_ap.estimate + artifact.drop.estimate
    assert gate.observed == pytest.approx(100 * (1 - ours / theirs))


@pytest.mark.parametrize("word", ["ov-fp32", "openvino/fp32"])
def test_another_artifact_is_the_reference_by_name_or_by_what_it_is(bundle, data, word):
    report = verify(bundle, data, against=word, artifacts=["ort-fp32", "ov-fp32"], preset="99", **QUICK)
    assert report.reference.source == "ov-fp32 on this device"
    assert (report.reference.artifact, report.reference.stored) == ("ov-fp32", False)
    itself, other = by_name(report)["ov-fp32"], by_name(report)["ort-fp32"]
    assert "it is the reference here" in itself.gates[0].sentence
    assert other.max_abs_logit < 1e-4
    assert other.unchanged_images == 1.0


def test_the_reference_reports_by_its_own_operating_point(bundle, data, fake, tiny_reference, at_operating_point):
    fake(ort_fp32=tiny_reference, ov_fp32=lambda images: tiny_reference(images) / 2)
    halved = at_operating_point(bundle, "ov-fp32", 0.5, bundle.manifest.thresholds)
    (artifact,) = verify(halved, data, against="ov-fp32", artifacts=["ort-fp32"], **QUICK).artifacts
    assert artifact.unchanged_images == 1.0


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"against": "tensorrt/fp16"}, BundleError, "holds no artifact 'tensorrt/fp16'; it holds ort-fp32, ov-fp32"),
        ({"against": "ort-fp32", "reference": np.zeros((40, 4))}, ConfigError, "two references"),
        ({"preset": "90"}, ConfigError, "preset '90': there are 99, 99.9"),
        ({"resamples": 10}, ConfigError, "10 resamples are too few for an interval: take 400"),
    ],
)
def test_what_cannot_be_meant(bundle, data, asked, error, message):
    with pytest.raises(error, match=message):
        verify(bundle, data, **asked, **QUICK)


def test_the_bootstrap_stands_beside_the_interval_when_asked(bundle, fake, tiny_reference):
    data = flat(tiny_reference, 200)
    reference = tiny_reference(np.stack(data.images))
    fake(ort_fp32=blind_to_blue(tiny_reference))
    (artifact,) = verify(bundle, data, reference=reference, artifacts=["ort-fp32"], resamples=400).artifacts
    drop, beside = artifact.drop, artifact.bootstrap_drop
    assert (beside.estimate, beside.resamples, beside.method) == (
        drop.estimate,
        400,
        "paired percentile bootstrap over images",
    )
    assert beside.low < drop.estimate < beside.high
    assert abs(beside.low - drop.low) + abs(beside.high - drop.high) < drop.high - drop.low


def test_the_page_shows_tiers_classes_and_images(bundle, data, logits, fake, tiny_reference):
    data = data.with_classes(CLASSES)
    fake(ort_fp32=blind_to_blue(tiny_reference), ov_fp32=tiny_reference)
    judged = changed(bundle, ort_fp32={"gates": {"max_bytes": 1}})
    report = verify(judged, data, reference=logits, artifacts=["ort-fp32", "ov-fp32"], **QUICK)
    page = parity_page(report, data)
    worst = by_name(report)["ort-fp32"]
    assert page.count("data:image/jpeg;base64,") == len(worst.changed)
    for said in (worst.gates[0].sentence[:30], "Classes that changed most", "+ blue", f"{worst.drop.estimate:.3f}"):
        assert said.replace("'", "&#x27;") in page
    assert "No image changed by as much as 0.01" in page  # of the other
    assert page.count("<script") == 0


def test_a_report_of_before_is_read_and_shown(bundle, data, logits):
    """Bundles hold reports of earlier versions, without flips and images."""
    report = verify(bundle, data, reference=logits, artifacts=["ort-fp32"], **QUICK)
    plain = msgspec.to_builtins(report)
    for artifact in plain["artifacts"]:
        for key in ("golden", "flips", "changed", "bootstrap_drop"):
            del artifact[key]
        for key in ("protocol", "OF1_drop", "CF1_drop"):
            del artifact["labels"][key]
    old = msgspec.convert(plain, ParityReport)
    assert old.artifacts[0].flips is None
    assert "ort-fp32" in parity_page(old, data)
