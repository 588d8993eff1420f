import json
import re
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from PIL import Image

from edgedistill.runtime import selftest, verify
from edgedistill.runtime.backends.base import BACKENDS, Backend
from edgedistill.runtime.bundle import (
    Bundle,
    Reference,
    decode_manifest,
    describe_file,
    latest_run,
    open_bundle,
    read_runs,
    results_folder,
    selection,
)
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.errors import BundleError, ConfigError, DataError, MissingDependencyError
from edgedistill.runtime.parity import ParityReport

CLASSES = ("red", "green", "blue", "bright")
QUICK = {"batch_size": 3}


@pytest.fixture
def bundle(make_tiny_bundle, tmp_path):
    """A tiny bundle that a test may write to."""
    return open_bundle(make_tiny_bundle(tmp_path / "tiny"))


def flat(reference, count):
    """Noisy flat images; the labels are the model's opinion with a few flipped, so that no AP is perfect."""
    rng = np.random.default_rng(0)
    images = (rng.integers(0, 200, (count, 1, 1, 3)) + rng.integers(0, 50, (count, 16, 16, 3))).astype(np.uint8)
    labels = (reference(images) > 0).astype(np.int8)
    labels ^= (rng.random(labels.shape) < 0.1).astype(np.int8)
    return Dataset("flat", CLASSES, tuple(f"{i:02}" for i in range(count)), list(images), labels)


@pytest.fixture
def data(tiny_reference):
    return flat(tiny_reference, 40)


@pytest.fixture
def logits(data, tiny_reference):
    """The training framework's logits on `data`."""
    return tiny_reference(np.stack(data.images))


def changed(bundle, **targets):
    """The bundle with other deploy configs: name -> what `Target` fields become."""
    chosen = tuple(
        msgspec.structs.replace(
            a, target=msgspec.structs.replace(a.target, **targets.get(a.name.replace("-", "_"), {}))
        )
        for a in bundle.manifest.artifacts
    )
    return Bundle(bundle.storage, msgspec.structs.replace(bundle.manifest, artifacts=chosen), b"")


def by_name(report):
    return {artifact.name: artifact for artifact in report.artifacts}


class FakeBackend(Backend):
    """Stands in for an opened artifact: outputs are a function of the images."""

    def __init__(self, model, function):
        self.function, self.closed = function, False
        super().__init__(model)

    def _load(self):
        self.inputs, self.outputs, self.effective = self.model.inputs, self.model.outputs, {"library": "fake"}

    def _run(self, feeds):
        (images,) = feeds.values()
        logits = self.function(images).astype(np.float32)
        return {"logits": logits, "probabilities": (1 / (1 + np.exp(-logits))).astype(np.float32)}

    def _close(self):
        self.closed = True


@pytest.fixture
def fake(monkeypatch):
    """Replace the backends: artifact name -> function of images, or an exception to raise on load."""
    opened = SimpleNamespace(backends=[])

    def install(**functions):
        def open_artifact(bundle, artifact, *, threads=None, device=None):
            made = functions[artifact.name.replace("-", "_")]
            if isinstance(made, Exception):
                raise made
            opened.backends.append(FakeBackend(bundle.model(artifact), made))
            return opened.backends[-1]

        monkeypatch.setattr(selection, "open_artifact", open_artifact)
        return opened

    return install


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


def blind_to_blue(reference):
    def logits(images):
        scores = reference(images)
        scores[:, 2] = 0.0
        return scores

    return logits


def gated(bundle):
    return changed(
        bundle,
        ort_fp32={"gates": {"max_map_drop": 1.0, "max_bytes": 10**9}},
        ov_fp32={"gates": {"max_map_drop": 0.1, "max_bytes": 10}},
    )


def test_a_worse_artifact_fails_its_gate_and_the_report_says_which_class_lost(bundle, fake, tiny_reference):
    data = flat(tiny_reference, 600)
    logits = tiny_reference(np.stack(data.images))
    fake(ort_fp32=tiny_reference, ov_fp32=blind_to_blue(tiny_reference))
    report = verify(gated(bundle), data, reference=logits, artifacts=["ort-fp32", "ov-fp32"])
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
    (artifact,) = verify(gated(bundle), data, reference=logits, artifacts=["ort-fp32"]).artifacts
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
    report = verify(bundle, data, reference=logits, artifacts=["ort-fp32"])
    assert report.verdict == report.artifacts[0].verdict == "not judged"
    assert not report.passed


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


def test_a_bundle_without_any_reference_says_what_to_do(bundle, data):
    only = tuple(a for a in bundle.manifest.artifacts if a.backend == "openvino")
    poor = Bundle(bundle.storage, msgspec.structs.replace(bundle.manifest, artifacts=only), b"")
    with pytest.raises(DataError, match="Give `reference`, or export with"):
        verify(poor, data, **QUICK)


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


def test_each_report_is_a_file_of_its_own_and_reads_back_typed(bundle, data, logits, fake, tiny_reference):
    fake(ort_fp32=tiny_reference)
    first = verify(bundle, data, reference=logits, backend="onnxruntime", **QUICK)
    second = verify(bundle, data, reference=logits, backend="onnxruntime", **QUICK)
    assert first.saved != second.saved
    (runs,) = read_runs(bundle).values()
    assert [run.decode(ParityReport).artifacts for run in runs] == [first.artifacts, second.artifacts]
    assert latest_run(bundle, "verify").decode(ParityReport).device == first.device
    assert latest_run(bundle, "bench") is None
    assert json.loads(Path(first.saved).read_text())["device"]["cpu"]


def test_a_class_without_positives_survives_json(bundle, data, logits, fake, tiny_reference):
    data.labels[:, 1] = 0
    fake(ort_fp32=tiny_reference)
    report = verify(bundle, data, reference=logits, backend="onnxruntime", **QUICK)
    assert report.classes_without_positives == 1
    green = report.artifacts[0].classes[1]
    assert (green.positives, green.ap, green.drop.estimate, green.drop.low) == (0, None, None, None)
    assert msgspec.json.decode(msgspec.json.encode(report), type=ParityReport) == report


@pytest.mark.parametrize(
    ("content", "words"), [('{"schema_version": 2, "kind": "ver', "damaged"), ('{"schema_version": 99}', "newer")]
)
def test_a_damaged_or_newer_run_hides_no_other_and_is_left_alone(bundle, data, logits, caplog, content, words):
    report = verify(bundle, data, reference=logits, artifacts=["ort-fp32"], **QUICK)
    other = Path(report.saved).with_name("20990101T000000Z-verify-ffffff.json")
    other.write_text(content)
    verify(bundle, data, reference=logits, artifacts=["ort-fp32"], **QUICK)
    (runs,) = read_runs(bundle).values()
    assert len(runs) == 2
    assert str(other) in caplog.text
    assert words in caplog.text
    assert other.read_text() == content


def test_results_of_a_zip_lie_beside_it(tmp_path):
    archive = tmp_path / "student.zip"
    archive.write_bytes(b"")
    assert results_folder(archive) == tmp_path / "student.results"
    assert results_folder(tmp_path) == tmp_path / "results"


def test_a_results_folder_that_is_a_link_is_not_written_through(bundle, data, logits, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (bundle.root / "results").symlink_to(elsewhere)
    report = verify(bundle, data, reference=logits, artifacts=["ort-fp32"], **QUICK)
    assert report.saved is None
    assert "is a link" in report.not_saved
    assert not any(elsewhere.iterdir())


def test_verify_does_not_change_the_manifest(bundle, data, logits):
    before = (bundle.root / "manifest.json").read_bytes()
    verify(bundle, data, reference=logits, backend="onnxruntime", **QUICK)
    assert (bundle.root / "manifest.json").read_bytes() == before
    assert decode_manifest(before, "x") == bundle.manifest


def test_an_artifact_is_not_judged_against_itself(bundle, data):
    """Without a stored reference the fp32 ONNX file serves: its own drop is 0 whatever it computes."""
    judged = changed(bundle, ort_fp32={"gates": {"max_map_drop": 5.0}}, ov_fp32={"gates": {"max_map_drop": 5.0}})
    report = verify(judged, data, artifacts=["ort-fp32", "ov-fp32"])
    (gate,) = by_name(report)["ort-fp32"].gates
    assert gate.verdict == by_name(report)["ort-fp32"].verdict == "not judged"
    assert "it is the reference here" in gate.sentence
    assert not report.reference.stored
    assert by_name(report)["ov-fp32"].verdict == "undecided"  # 40 images


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
