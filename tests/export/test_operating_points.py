"""Each artifact's own thresholds and temperature: estimated through its files, on images that judge nothing."""

import io

import msgspec
import numpy as np
import pytest
from rich.console import Console

from edgedistill.cli.operating_point_table import operating_point_table
from edgedistill.export import export_bundle, operating_points
from edgedistill.export.observing import write_observed
from edgedistill.export.operating_points import at_temperature_one, choose_validation, estimate
from edgedistill.export.repeating import request_digest
from edgedistill.export.running_apart import Ran
from edgedistill.runtime import metrics
from edgedistill.runtime.backends.base import BACKENDS
from edgedistill.runtime.bundle import open_bundle
from edgedistill.runtime.bundle.storage import FolderStorage
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.errors import ConfigError, DataError
from edgedistill.runtime.metrics import sigmoid, threshold_rule

CLASSES = ("common", "rare", "never", "unclear")


def overconfident(images=3000, factor=3.0, seed=0):
    """Logits `factor` times as large as the labels deserve; "never" is never shown, "unclear" a matter of chance."""
    rng = np.random.default_rng(seed)
    honest = rng.normal([0.0, -3.0, -5.0, 0.0], [2.0, 1.5, 1.0, 1.0], (images, 4))
    honest[:, 3] = 0.0
    labels = (rng.random(honest.shape) < sigmoid(honest)).astype(np.int8)
    labels[:, 2] = 0
    logits = factor * honest
    logits[:, 3] = rng.normal(0.0, 0.1, images)  # says nothing of its labels
    pixels = np.zeros((images, 1, 1, 3), np.uint8)
    return logits.astype(np.float32), Dataset("val", CLASSES, tuple(map(str, range(images))), pixels, labels)


def test_what_an_artifact_observes_is_stored_with_its_embeddings_and_without_images(tiny_bundle, tmp_path):
    logits, data = overconfident(400)
    embeddings = np.random.default_rng(1).gamma(1.0, size=(400, 24)).astype(np.float32)
    point = estimate(logits, data, threshold_rule(0.5))
    found = write_observed("an int8", Ran(logits, embeddings), point, tmp_path)
    opened = open_bundle(tiny_bundle)
    stored = type(opened)(FolderStorage(tmp_path), opened.manifest, b"")
    assert [entry.path for entry in found.files()] == [
        f"reference/observed/an int8.{what}.npy" for what in ("logits", "embedding", "projections")
    ]
    kept = stored.array(found.logits, 4)
    assert kept.shape == (256, 4)
    np.testing.assert_allclose(np.median(kept, axis=0), np.median(logits, axis=0), atol=0.05)
    summed = stored.array(found.embedding, 24)
    np.testing.assert_allclose(summed, [embeddings.mean(axis=0), embeddings.std(axis=0)], rtol=1e-4)
    assert stored.array(found.projections, 33).shape == (256, 33)
    assert found.reported == pytest.approx(tuple((point.probabilities(logits) >= 0.5).mean(axis=0)))
    assert write_observed("plain", Ran(logits, None), point, tmp_path).embedding is None


def test_overconfident_logits_are_cooled_and_the_error_falls():
    logits, data = overconfident()
    point = estimate(logits, data, threshold_rule("best_f1"))
    assert point.temperature == pytest.approx(3.0, rel=0.1)
    assert point.ece_after < 0.5 * point.ece_before
    assert point.ece_before == pytest.approx(100 * metrics.expected_calibration_error(sigmoid(logits), data.labels))
    np.testing.assert_array_equal(point.thresholds, metrics.best_thresholds(point.probabilities(logits), data.labels))
    assert (point.images, point.dataset, point.without_positives, point.missed) == (3000, "val", ("never",), ())
    assert point.thresholds[2] == 0.5


def test_a_temperature_that_the_images_do_not_tell_is_told(tiny_bundle):
    opened = open_bundle(tiny_bundle)
    logits, data = overconfident(30)
    logits[:, 2] = -1.0  # every logit on its label's side
    sure = Dataset("val", CLASSES, data.ids, data.images, (logits > 0).astype(np.int8))
    absurd = Dataset("val", CLASSES, data.ids, data.images, (logits < 0).astype(np.int8))
    points = [estimate(logits, split, threshold_rule(0.5)) for split in (sure, absurd, data)]
    assert [point.at_bound for point in points] == [True, True, False]
    artifacts = [
        msgspec.structs.replace(opened.manifest.artifacts[0], name=name, operating_point=point)
        for name, point in zip(("sure", "absurd", "usual"), points, strict=True)
    ]
    said = io.StringIO()
    manifest = msgspec.structs.replace(opened.manifest, artifacts=tuple(artifacts))
    operating_point_table(manifest, Console(file=said, width=200))
    assert "sure: the images tell no temperature, and the search for one ended at 0.05: every logit" in said.getvalue()
    assert "absurd: the images tell no temperature, and the search for one ended at 20: the logits" in said.getvalue()
    assert "usual: the images" not in said.getvalue()


def test_a_precision_that_no_threshold_reaches_is_told_class_by_class():
    logits, data = overconfident()
    labels = data.labels.copy()
    labels[np.argsort(-logits[:, 3])[:50], 3] = 0  # the most probable ones are wrong
    data = Dataset("val", CLASSES, data.ids, data.images, labels)
    point = estimate(logits, data, threshold_rule("precision=0.9"))
    assert point.missed == ("unclear",)
    reported = point.probabilities(logits) >= np.array(point.thresholds)
    for c in (0, 1):
        assert 0.9 <= labels[reported[:, c], c].mean() < 0.95


def test_the_bundles_thresholds_give_the_same_labels_at_temperature_one():
    logits, data = overconfident()
    point = estimate(logits, data, threshold_rule("recall=0.8"))
    shared = np.array(at_temperature_one(point))
    np.testing.assert_array_equal(sigmoid(logits) >= shared, point.probabilities(logits) >= np.array(point.thresholds))
    assert np.abs(shared - point.thresholds).max() > 0.05
    ends = msgspec.structs.replace(point, thresholds=(0.0, 1.0, 0.5, 0.5))
    assert at_temperature_one(ends) == (0.0, 1.0, 0.5, 0.5)


def test_the_sample_shows_classes_as_often_as_they_are():
    _, data = overconfident()
    chosen = choose_validation(data, 1000, seed=4)
    assert len(set(chosen.ids)) == 1000
    assert chosen.ids == choose_validation(data, 1000, seed=4).ids != choose_validation(data, 1000, seed=5).ids
    np.testing.assert_allclose(chosen.labels.mean(axis=0), data.labels.mean(axis=0), atol=0.05)
    assert choose_validation(data, 3000) is data


def test_images_without_labels_estimate_nothing():
    _, data = overconfident(20)
    for labels in (np.zeros_like(data.labels), np.full_like(data.labels, -1)):
        with pytest.raises(DataError, match="val: thresholds and a temperature need labels: some present and some"):
            choose_validation(Dataset("val", CLASSES, data.ids, data.images, labels))


def test_what_judges_estimates_nothing(student, split, tmp_path):
    with pytest.raises(ConfigError, match="are also in my test/split, on which the bundle is judged"):
        export_bundle(student, ["onnxruntime-cpu-fp32"], tmp_path / "b", reference=split, validation=split[0])
    with pytest.raises(ConfigError, match="thresholds 'best': give a probability such as"):
        export_bundle(student, ["onnxruntime-cpu-fp32"], tmp_path / "b", thresholds="best")
    with pytest.raises(ConfigError, match=r"`thresholds` 0\.7: they are estimated on `validation` images"):
        export_bundle(student, ["onnxruntime-cpu-fp32"], tmp_path / "b", thresholds=0.7)
    assert not list(tmp_path.iterdir())


def test_other_images_or_another_rule_are_another_request():
    _, data = overconfident(20)
    digests = {
        request_digest("ab", [], validation=validation, thresholds=threshold_rule(rule))
        for validation, rule in ((data, "best_f1"), (data, 0.5), (data.subset(range(19)), 0.5), (None, 0.5))
    }
    assert len(digests) == 4
    assert request_digest("ab", [], thresholds=threshold_rule(0.5)) == request_digest("ab", [])


def test_an_artifact_without_numbers_for_these_images_fails_and_the_others_do_not(
    make_tiny_bundle, tiny_reference, tmp_path, monkeypatch
):
    opened = open_bundle(make_tiny_bundle(tmp_path / "b"))
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 1, 1, 3)).repeat(16, axis=1).repeat(16, axis=2).astype(np.uint8)
    labels = (tiny_reference(pixels) > 0.5).astype(np.int8)
    data = Dataset("val", opened.manifest.classes, tuple(map(str, range(40))), list(pixels), labels)
    kind = BACKENDS.get("openvino")
    run = kind._run

    def overflowing(self, feeds):
        return {name: np.where(values > 1, np.inf, values) for name, values in run(self, feeds).items()}

    monkeypatch.setattr(kind, "_run", overflowing)
    manifest = operating_points.with_operating_points(opened, data, threshold_rule("best_f1"))
    fine, *broken = manifest.artifacts
    assert fine.operating_point.images == 40
    for artifact in broken:
        assert (artifact.status, artifact.files, artifact.operating_point) == ("failed", (), None)
        assert artifact.reason == "on val: its outputs hold NaN or infinity"
    assert manifest.thresholds == at_temperature_one(fine.operating_point)
    found = fine.observed
    assert (found.dataset, found.fingerprint, found.images, found.embedding) == ("val", data.fingerprint(), 40, None)
    logits = tiny_reference(pixels)
    np.testing.assert_allclose(opened.array(found.logits, 4), np.sort(logits, axis=0), atol=1e-4)
    shown = fine.operating_point.probabilities(logits) >= np.array(fine.operating_point.thresholds)
    assert found.reported == pytest.approx(tuple(shown.mean(axis=0)))
    assert [one.observed for one in broken] == [None, None]
