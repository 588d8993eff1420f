import msgspec
import numpy as np
import pytest
from PIL import Image

from edgedistill.runtime import selftest
from edgedistill.runtime.backends.base import BACKENDS
from edgedistill.runtime.bundle import Bundle, GoldenImage, describe_file, open_bundle
from edgedistill.runtime.errors import BundleError, DataError, MissingDependencyError
from edgedistill.runtime.parity import golden
from edgedistill.runtime.precisions import precision_of
from edgedistill.runtime.preprocess import load


@pytest.fixture
def bundle(make_tiny_bundle, tmp_path):
    return open_bundle(make_tiny_bundle(tmp_path / "tiny"))


def test_real_backends_pass_from_original_photographs(bundle):
    report = selftest(bundle, precision="fp32")
    assert report.passed
    assert [artifact.name for artifact in report.artifacts] == ["ort-fp32", "ov-fp32"]
    for artifact in report.artifacts:
        assert artifact.tolerance == pytest.approx(1e-3, rel=0.5)
        assert [image.file for image in artifact.images] == [f"selftest/{n}.jpg" for n in ("red", "teal", "grey")]
        assert all(image.max_abs_logit < 1e-3 for image in artifact.images)
        assert artifact.sentence.startswith("3 of 3 photographs agree")
    assert report.decoder.startswith("Pillow ")
    assert msgspec.json.decode(msgspec.json.encode(report), type=type(report)) == report


def test_another_resize_filter_is_noticed(bundle):
    """A device that resizes otherwise must not pass: this is what the photographs are for."""
    other = msgspec.structs.replace(bundle.manifest.preprocessing, resize="center_crop")
    changed = Bundle(bundle.storage, msgspec.structs.replace(bundle.manifest, preprocessing=other), b"")
    report = selftest(changed, backend="onnxruntime", tolerance=1e-4)
    assert not report.passed
    assert "photographs differ by more than" in report.artifacts[0].sentence


def test_wrong_outputs_fail_with_the_photograph_named(bundle):
    first, *rest = bundle.manifest.selftest
    wrong = msgspec.structs.replace(first, logits=(first.logits[0] + 0.5, *first.logits[1:]))
    changed = Bundle(bundle.storage, msgspec.structs.replace(bundle.manifest, selftest=(wrong, *rest)), b"")
    (artifact,) = selftest(changed, backend="onnxruntime").artifacts
    assert not artifact.passed
    assert [image.passed for image in artifact.images] == [False, True, True]
    assert artifact.images[0].max_abs_logit == pytest.approx(0.5, abs=1e-3)
    assert "1 of 3 photographs differ" in artifact.sentence
    assert "selftest/red.jpg is 0.5 off" in artifact.sentence
    assert "JPEG" not in artifact.sentence
    assert selftest(changed, backend="onnxruntime", tolerance=1.0).passed


@pytest.mark.parametrize(
    ("change", "overflows", "told"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"details": {"weights": "7 bits: asked for"}}, True, False),
        ({"precision": "fp32"}, True, False),
        ({"device": "cuda"}, True, False),
    ],
)
def test_where_an_int8_file_fails_on_a_cpu_whose_sums_overflow_it_is_told(bundle, monkeypatch, change, overflows, told):
    monkeypatch.setattr(golden, "overflows_bytes", lambda: overflows)
    first, *_ = bundle.manifest.artifacts
    details = change.get("details", {})
    target = msgspec.structs.replace(first.target, precision=change.get("precision", "int8"))
    target = msgspec.structs.replace(target, device=change.get("device", "cpu"))
    artifact = msgspec.structs.replace(first, target=target, details=details)
    wrong = tuple(
        msgspec.structs.replace(one, logits=tuple(value + 9 for value in one.logits))
        for one in bundle.manifest.selftest
    )
    manifest = msgspec.structs.replace(bundle.manifest, artifacts=(artifact,), selftest=wrong)
    changed = Bundle(bundle.storage, manifest, b"")
    (found,) = selftest(changed, device="cpu").artifacts
    assert found.verdict == "failed"
    assert ("export `-t onnxruntime-avx2-int8` or fp32 for it" in found.sentence) is told


def test_failing_on_jpeg_alone_points_at_the_decoder(bundle, tiny_reference):
    path = bundle.root / "selftest" / "lossless.png"
    Image.new("RGB", (16, 16), (10, 200, 30)).save(path)
    logits = tiny_reference(load(path, bundle.manifest.preprocessing)[None])[0]
    lossless = GoldenImage(file=describe_file(path, bundle.root), logits=tuple(map(float, logits)))
    jpegs = tuple(
        msgspec.structs.replace(golden, logits=tuple(value + 0.01 for value in golden.logits))
        for golden in bundle.manifest.selftest
    )
    changed = Bundle(bundle.storage, msgspec.structs.replace(bundle.manifest, selftest=(*jpegs, lossless)), b"")
    (artifact,) = selftest(changed, backend="onnxruntime").artifacts
    assert not artifact.passed
    assert "decodes JPEG unlike the exporting machine" in artifact.sentence


def test_tolerance_grows_with_lower_precision_and_larger_logits():
    small, large = np.array([0.0, 1.0]), np.array([-50.0, 50.0])
    assert precision_of("fp32").built(small) == 1e-3
    assert precision_of("fp32").built(large) == pytest.approx(1e-2)
    assert precision_of("bf16").built(small) == pytest.approx(0.2)


def test_what_export_measured_bounds_the_device():
    logits = np.array([-10.0, 10.0])
    row = precision_of("bf16")
    assert row.shipped(logits, measured=0.1) == pytest.approx(0.3)
    assert row.shipped(logits, measured=None) == row.built(logits) == pytest.approx(4.0)
    assert row.shipped(logits, measured=0.0) == pytest.approx(2e-3)  # another machine sums in another order
    assert row.shipped(logits, measured=3.0) == row.built(logits)
    assert row.shipped(logits, measured=4.5) == pytest.approx(4.725)  # as on the exporting machine
    assert row.shipped(logits, measured=50.0) == pytest.approx(1.25 * row.built(logits))  # a manifest may say anything


def test_a_tampered_photograph_is_refused(bundle):
    path = bundle.root / "selftest" / "red.jpg"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(BundleError, match=r"red\.jpg.*SHA-256"):
        selftest(bundle)


def test_an_undecodable_photograph_is_named(bundle):
    path = bundle.root / "selftest" / "odd.jpg"
    path.write_bytes(b"no photograph")
    odd = GoldenImage(file=describe_file(path, bundle.root), logits=(0.0,) * 4)
    changed = Bundle(bundle.storage, msgspec.structs.replace(bundle.manifest, selftest=(odd,)), b"")
    with pytest.raises(DataError, match=r"odd\.jpg: cannot be decoded"):
        selftest(changed)


def test_a_bundle_without_photographs_says_so(bundle):
    bare = Bundle(bundle.storage, msgspec.structs.replace(bundle.manifest, selftest=()), b"")
    with pytest.raises(BundleError, match="no self-test photographs"):
        selftest(bare)


def test_what_cannot_run_is_reported_and_nothing_running_is_an_error(bundle, monkeypatch):
    def library(*_):
        raise MissingDependencyError("openvino is not installed.")

    monkeypatch.setattr(BACKENDS.get("openvino"), "library", library)
    report = selftest(bundle)
    assert [artifact.verdict for artifact in report.artifacts] == ["passed", "could not run", "could not run"]
    assert report.passed
    with pytest.raises(MissingDependencyError, match="ov-fp32: openvino is not installed"):
        selftest(bundle, backend="openvino")


def test_outputs_that_are_not_numbers_fail(bundle, monkeypatch):
    def broken(self, feeds):
        (images,) = feeds.values()
        return dict.fromkeys(("logits", "probabilities"), np.full((len(images), 4), np.nan, np.float32))

    monkeypatch.setattr(BACKENDS.get("onnxruntime"), "_run", broken)
    (artifact,) = selftest(bundle, backend="onnxruntime").artifacts
    assert artifact.verdict == "failed"
    assert "NaN or infinity" in artifact.sentence
