import json
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from PIL import Image

from edgedistill.runtime import artifacts as artifacts_module
from edgedistill.runtime import results
from edgedistill.runtime.bundle import Bundle, Reference, decode_manifest, describe_file, open_bundle
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.errors import BundleError, ConfigError, DataError, MissingDependencyError
from edgedistill.runtime.parity import ParityReport
from edgedistill.runtime.targets import Gates
from edgedistill.runtime.verify import verify

CLASSES = ("red", "green", "blue", "bright")
QUICK = {"bootstrap": 400, "batch_size": 3}


@pytest.fixture
def bundle(make_tiny_bundle, tmp_path):
    """A tiny bundle that a test may write to."""
    return open_bundle(make_tiny_bundle(tmp_path / "tiny"))


@pytest.fixture
def data(tiny_reference):
    """40 noisy flat images; the labels are the model's opinion with a few flipped, so that no AP is perfect."""
    rng = np.random.default_rng(0)
    images = (rng.integers(0, 200, (40, 1, 1, 3)) + rng.integers(0, 50, (40, 16, 16, 3))).astype(np.uint8)
    labels = (tiny_reference(images) > 0).astype(np.int8)
    labels ^= (rng.random(labels.shape) < 0.1).astype(np.int8)
    return Dataset("flat", CLASSES, tuple(f"{i:02}" for i in range(40)), list(images), labels)


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
    return Bundle(bundle.root, msgspec.structs.replace(bundle.manifest, artifacts=chosen))


def by_name(report):
    return {artifact.name: artifact for artifact in report.artifacts}


class FakePredictor:
    """Stands in for an opened artifact: outputs are a function of the images."""

    def __init__(self, function):
        self.function, self.effective, self.closed = function, {"library": "fake"}, False

    def infer(self, images):
        logits = self.function(images).astype(np.float32)
        return logits, (1 / (1 + np.exp(-logits))).astype(np.float32)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True


@pytest.fixture
def fake(monkeypatch):
    """Replace the backends: artifact name -> function of images, or an exception to raise on load."""
    opened = SimpleNamespace(predictors=[])

    def install(**functions):
        def load(bundle, *, name, threads=None):
            made = functions[name.replace("-", "_")]
            if isinstance(made, Exception):
                raise made
            opened.predictors.append(FakePredictor(made))
            return opened.predictors[-1]

        monkeypatch.setattr(artifacts_module, "load", load)
        return opened

    return install


def test_real_backends_agree_with_the_given_reference(bundle, data, logits):
    report = verify(bundle, data, reference=logits, artifacts=["ort-fp32", "ov-fp32"], **QUICK)
    assert report.passed
    assert report.images == 40
    assert report.reference.source == "the caller's logits"
    for artifact in report.artifacts:
        assert artifact.status == "ran"
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
    stored = Bundle(bundle.root, msgspec.structs.replace(bundle.manifest, references=(entry,)))
    fake(ort_fp32=lambda images: np.zeros((len(images), 4)), ov_fp32=lambda images: np.zeros((len(images), 4)))
    report = verify(stored, data, artifacts=["ov-fp32"], **QUICK)
    assert report.reference.source == "the training framework, stored at export"
    assert by_name(report)["ov-fp32"].max_abs_logit == pytest.approx(np.abs(logits).max())
    part = verify(stored, data.subset(range(20)), artifacts=["ov-fp32"], **QUICK)
    assert part.reference.source == "ort-fp32 on this device"


def test_a_worse_artifact_fails_its_gate_and_the_report_says_which_class_lost(
    bundle, data, logits, fake, tiny_reference
):
    def blind_to_blue(images):
        scores = tiny_reference(images)
        scores[:, 2] = 0.0
        return scores

    fake(ort_fp32=tiny_reference, ov_fp32=blind_to_blue)
    gated = changed(
        bundle,
        ort_fp32={"gates": Gates(max_map_drop=0.1, max_bytes=10**9)},
        ov_fp32={"gates": Gates(max_map_drop=0.1, max_bytes=10)},
    )
    report = verify(gated, data, reference=logits, artifacts=["ort-fp32", "ov-fp32"], **QUICK)
    good, bad = by_name(report)["ort-fp32"], by_name(report)["ov-fp32"]
    assert good.passed
    assert (good.drop.estimate, good.drop.high) == (0.0, 0.0)
    assert not bad.passed
    assert not report.passed
    assert [gate.name for gate in bad.gates if not gate.passed] == ["max_map_drop", "max_bytes"]
    assert [entry.name for entry in bad.losses] == ["blue"]
    assert bad.drop.low <= bad.drop.estimate <= bad.drop.high
    assert bad.drop.estimate == pytest.approx(bad.losses[0].drop.estimate / len(CLASSES))
    assert bad.gates[0].observed == bad.drop.high
    assert bad.unchanged_images < 1.0


def test_what_cannot_run_here_is_reported_and_what_is_at_fault_fails(bundle, data, logits, fake, tiny_reference):
    def breaks(images):
        raise RuntimeError("out of memory")

    opened = fake(ort_fp32=tiny_reference, ov_fp32=MissingDependencyError("openvino is not installed."), ov_bf16=breaks)
    report = verify(bundle, data, reference=logits, **QUICK)
    found = by_name(report)
    assert [found[name].status for name in ("ort-fp32", "ov-fp32", "ov-bf16")] == ["ran", "could_not_run", "failed"]
    assert found["ov-fp32"].reason == "openvino is not installed."
    assert "out of memory" in found["ov-bf16"].reason
    assert not report.passed
    assert verify(bundle, data, reference=logits, precision="fp32", **QUICK).passed
    assert all(predictor.closed for predictor in opened.predictors)


def test_outputs_that_are_not_numbers_fail(bundle, data, logits, fake, tiny_reference):
    fake(ort_fp32=tiny_reference, ov_fp32=lambda images: np.full((len(images), 4), np.nan))
    found = by_name(verify(bundle, data, reference=logits, precision="fp32", **QUICK))
    assert found["ov-fp32"].status == "failed"
    assert "NaN" in found["ov-fp32"].reason
    assert found["ort-fp32"].passed


def test_a_tampered_artifact_is_refused(bundle, data, logits):
    path = bundle.root / "onnx" / "model.fp32.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    report = verify(bundle, data, reference=logits, precision="fp32", **QUICK)
    assert by_name(report)["ort-fp32"].status == "failed"
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
        ({"bootstrap": 10}, ConfigError, "at least 40"),
        ({"reference": np.zeros((3, 4))}, DataError, r"\(3, 4\)"),
        ({"labels": "labels.csv"}, ConfigError, "image folder"),
    ],
)
def test_impossible_requests(bundle, data, options, error, message):
    with pytest.raises(error, match=message):
        verify(bundle, data, **{**QUICK, **options})


def test_a_bundle_without_any_reference_says_what_to_do(bundle, data):
    only = tuple(a for a in bundle.manifest.artifacts if a.backend == "openvino")
    poor = Bundle(bundle.root, msgspec.structs.replace(bundle.manifest, artifacts=only))
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


def test_the_report_is_appended_and_reads_back_typed(bundle, data, logits, fake, tiny_reference):
    fake(ort_fp32=tiny_reference)
    first = verify(bundle, data, reference=logits, backend="onnxruntime", **QUICK)
    verify(bundle, data, reference=logits, backend="onnxruntime", **QUICK)
    (saved,) = results.read_all_results(bundle).values()
    assert len(saved.runs) == 2
    back = saved.latest("verify").decode(ParityReport)
    assert back.artifacts == first.artifacts
    assert saved.latest("bench") is None
    assert json.loads(Path(first.saved).read_text())["runs"][0]["device"]["cpu"]


def test_a_class_without_positives_survives_json(bundle, data, logits, fake, tiny_reference):
    data.labels[:, 1] = 0
    fake(ort_fp32=tiny_reference)
    report = verify(bundle, data, reference=logits, backend="onnxruntime", **QUICK)
    assert report.classes_without_positives == 1
    green = report.artifacts[0].classes[1]
    assert (green.positives, green.ap, green.drop.estimate, green.drop.low) == (0, None, None, None)
    assert msgspec.json.decode(msgspec.json.encode(report), type=ParityReport) == report


def test_a_damaged_results_file_is_set_aside_not_lost(bundle, data, logits, caplog):
    path = results.append_result(
        bundle, "verify", verify(bundle, data, reference=logits, artifacts=["ort-fp32"], **QUICK)
    )
    path.write_text('{"schema_version": 1, "runs": [')
    with pytest.raises(BundleError, match="damaged results"):
        results.read_results(path)
    verify(bundle, data, reference=logits, artifacts=["ort-fp32"], **QUICK)
    assert len(results.read_results(path).runs) == 1
    (aside,) = path.parent.glob("*.damaged-*")
    assert aside.read_text() == '{"schema_version": 1, "runs": ['
    assert "damaged results" in caplog.text


def test_results_of_a_newer_edgedistill_are_left_alone_and_the_report_survives(
    bundle, data, logits, fake, tiny_reference
):
    fake(ort_fp32=tiny_reference)
    report = verify(bundle, data, reference=logits, artifacts=["ort-fp32"], **QUICK)
    newer = '{"schema_version": 99}'
    path = results.results_folder(bundle) / f"{report.device}.json"
    path.write_text(newer)
    again = verify(bundle, data, reference=logits, artifacts=["ort-fp32"], **QUICK)
    assert again.saved is None
    assert "upgrade" in again.not_saved
    assert path.read_text() == newer


def test_results_of_a_zip_lie_beside_it(tmp_path):
    archive = tmp_path / "student.zip"
    archive.write_bytes(b"")
    assert results.results_folder(archive) == tmp_path / "student.results"
    assert results.results_folder(tmp_path) == tmp_path / "results"


def test_verify_does_not_change_the_manifest(bundle, data, logits):
    before = (bundle.root / "manifest.json").read_bytes()
    verify(bundle, data, reference=logits, backend="onnxruntime", **QUICK)
    assert (bundle.root / "manifest.json").read_bytes() == before
    assert decode_manifest(before, "x") == bundle.manifest


def test_a_confidence_outside_zero_to_one_is_named(bundle, data):
    with pytest.raises(ConfigError, match="ort-fp32: the gates' confidence"):
        verify(changed(bundle, ort_fp32={"gates": Gates(confidence=1.0)}), data, **QUICK)
