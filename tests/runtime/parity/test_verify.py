"""Real backends against a reference: whose it is, which images and classes count."""

import dataclasses

import msgspec
import numpy as np
import pytest
from PIL import Image
from verify_cases import CLASSES, QUICK, by_name

from edgedistill.runtime import metrics, verify
from edgedistill.runtime.bundle import Bundle, Reference, describe_file
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.errors import BundleError, ConfigError, DataError
from edgedistill.runtime.preprocess import load


def test_real_backends_agree_with_the_given_reference(bundle, data, logits):
    report = verify(bundle, data, reference=logits, artifacts=["ort-fp32", "ov-fp32"], **QUICK)
    assert report.verdict == "not judged"  # no deploy config here has a gate
    assert report.images == 40
    assert report.reference.source == "the caller's logits"
    for artifact in report.artifacts:
        assert artifact.ran
        assert artifact.max_abs_logit < 1e-4
        assert artifact.unchanged_images == 1.0
        assert abs(artifact.drop.estimate) < 0.5
        assert artifact.effective
        assert [entry.name for entry in artifact.classes] == list(CLASSES)


def test_labels_are_those_of_the_artifacts_own_operating_point(
    bundle, data, logits, fake, tiny_reference, at_operating_point
):
    def halved(images):
        return tiny_reference(images) / 2

    fake(ov_fp32=halved)
    only = {"reference": logits, "artifacts": ["ov-fp32"], **QUICK}
    assert verify(bundle, data, **only).artifacts[0].unchanged_images < 1.0  # "bright" is reported from 0.4 on
    own = at_operating_point(bundle, "ov-fp32", 0.5, bundle.manifest.thresholds)
    found = verify(own, data, **only).artifacts[0]
    assert found.unchanged_images == 1.0
    probabilities = metrics.sigmoid(logits)
    expected = metrics.evaluate(probabilities, data.labels, np.array(bundle.manifest.thresholds))
    for name in ("OP", "OR", "OF1", "CP", "CR", "CF1"):
        assert getattr(found.labels, name) == pytest.approx(expected[name])
    error = found.labels.ECE
    assert error == pytest.approx(100 * metrics.expected_calibration_error(probabilities, data.labels))


def test_without_a_stored_reference_onnxruntime_fp32_serves_and_the_report_says_so(bundle, data):
    report = verify(bundle, data, artifacts=["ov-fp32"], **QUICK)
    assert report.reference.source == "ort-fp32 on this device"
    assert [artifact.name for artifact in report.artifacts] == ["ov-fp32"]


def test_the_bundles_own_reference_is_used_for_that_very_split(bundle, data, logits, fake):
    path = bundle.root / "reference.npy"
    np.save(path, logits)
    entry = Reference(file=describe_file(path, bundle.root), dataset="flat", fingerprint=data.fingerprint())
    stored = Bundle(bundle.storage, msgspec.structs.replace(bundle.manifest, references=(entry,)), b"")
    fake(ort_fp32=lambda images: np.zeros((len(images), 4)), ov_fp32=lambda images: np.zeros((len(images), 4)))
    report = verify(stored, data, artifacts=["ov-fp32"], **QUICK)
    assert report.reference.source == "the training framework, stored at export"
    assert by_name(report)["ov-fp32"].max_abs_logit == pytest.approx(np.abs(logits).max())
    part = verify(stored, data.subset(range(20)), artifacts=["ov-fp32"], **QUICK)
    assert part.reference.source.startswith("ort-fp32 on this device; the training framework's stored logits are for")


def test_a_bundle_without_any_reference_says_what_to_do(bundle, data):
    only = tuple(a for a in bundle.manifest.artifacts if a.backend == "openvino")
    poor = Bundle(bundle.storage, msgspec.structs.replace(bundle.manifest, artifacts=only), b"")
    with pytest.raises(DataError, match="Give `reference`, or export with"):
        verify(poor, data, **QUICK)


def test_an_undecodable_image_is_named_and_left_out_of_everything(bundle, data, logits, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not an image")
    images = [*data.images[:39], broken]
    report = verify(
        bundle,
        Dataset(data.name, data.classes, data.ids, images, data.labels),
        reference=logits,
        backend="onnxruntime",
        max_bad_share=0.1,
        **QUICK,
    )
    assert report.images == 39
    assert [image.id for image in report.skipped] == ["39"]
    assert by_name(report)["ort-fp32"].max_abs_logit < 1e-4
    with pytest.raises(DataError, match=r"broken\.jpg|39"):
        verify(bundle, Dataset(data.name, data.classes, data.ids, images, data.labels), max_bad_share=0, **QUICK)


def test_an_image_without_reference_logits_is_left_out_and_named(bundle, data, logits, fake, tiny_reference):
    logits[7] = np.nan
    fake(ort_fp32=tiny_reference)
    report = verify(bundle, data, reference=logits, backend="onnxruntime", **QUICK)
    assert (report.images, [image.id for image in report.skipped]) == (39, ["07"])


def test_classes_are_brought_into_the_bundles_order(bundle, data, logits, fake, tiny_reference):
    fake(ort_fp32=tiny_reference)
    shuffled = data.with_classes(("bright", "blue", "red", "green"))
    report = verify(bundle, shuffled, reference=logits, backend="onnxruntime", **QUICK)
    straight = verify(bundle, data, reference=logits, backend="onnxruntime", **QUICK)
    assert report.artifacts == straight.artifacts
    assert report.fingerprint == data.fingerprint()


def test_an_image_folder_with_a_label_file(bundle, data, logits, tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    lines = ["path,labels"]
    for name, image, row in data:
        Image.fromarray(image).save(folder / f"{name}.png")
        lines.append(f"{name}.png,{';'.join(c for c, y in zip(CLASSES, row, strict=True) if y)}")
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(lines) + "\n")
    report = verify(bundle, folder, labels=table, reference=logits, backend="onnxruntime", **QUICK)
    assert report.images == 40
    assert report.artifacts[0].max_abs_logit < 1e-4


def test_reduced_decoding_is_what_is_judged_where_it_is_asked_for(bundle, tiny_reference, tmp_path):
    """Large photographs, whose pixels the two ways give a little differently."""
    rng, lines, pixels = np.random.default_rng(0), ["path,labels"], []
    for number in range(4):
        small = Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8))
        small.resize((501, 403), Image.Resampling.BICUBIC).save(tmp_path / f"{number}.jpg", quality=90)
        lines.append(f"{number}.jpg,red")
        pixels.append(load(tmp_path / f"{number}.jpg", bundle.manifest.preprocessing))
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    asked = {"reference": tiny_reference(np.stack(pixels)), "artifacts": ["ort-fp32"], **QUICK}
    full = verify(bundle, tmp_path / "labels.csv", **asked)
    reduced = verify(bundle, tmp_path / "labels.csv", decode="reduced", **asked)
    assert (full.decode, reduced.decode) == ("full", "reduced")
    assert full.artifacts[0].max_abs_logit < 1e-4
    assert 1e-3 < reduced.artifacts[0].max_abs_logit < 0.1


def test_progress_reaches_the_total(bundle, data, logits, fake, tiny_reference):
    fake(ort_fp32=tiny_reference)
    seen = []
    verify(bundle, data, reference=logits, backend="onnxruntime", progress=lambda *a: seen.append(a), **QUICK)
    assert seen[0] == (3, 40)
    assert seen[-1] == (40, 40)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"artifacts": ["ort-int8"]}, BundleError, "no artifact 'ort-int8'; it holds ort-fp32"),
        ({"backend": "tensorrt"}, BundleError, "no artifact for tensorrt"),
        ({"reference": np.zeros((3, 4))}, DataError, r"\(3, 4\)"),
        ({"labels": "labels.csv"}, ConfigError, "image folder"),
    ],
)
def test_impossible_requests(bundle, data, options, error, message):
    with pytest.raises(error, match=message):
        verify(bundle, data, **{**QUICK, **options})


def test_images_without_a_known_label_are_no_data_to_verify_with(bundle, data):
    unlabelled = dataclasses.replace(data, labels=np.full_like(data.labels, -1))
    with pytest.raises(DataError, match="no label of its 40 images is known.*`edgedistill check`"):
        verify(bundle, unlabelled, **QUICK)


def test_a_share_of_nothing_is_none_and_not_0(bundle, data, logits, fake, tiny_reference):
    fake(ort_fp32=tiny_reference)
    absent = dataclasses.replace(data, labels=np.zeros_like(data.labels))
    labels = verify(bundle, absent, reference=logits, backend="onnxruntime", **QUICK).artifacts[0].labels
    assert (labels.OP, labels.OR, labels.OF1) == (0.0, None, 0.0)  # of what is reported nothing is right
    fake(ort_fp32=lambda images: np.full((len(images), 4), -9.0))  # which reports nothing
    labels = verify(bundle, data, reference=logits, backend="onnxruntime", **QUICK).artifacts[0].labels
    assert (labels.OP, labels.OR, labels.OF1) == (None, 0.0, 0.0)
