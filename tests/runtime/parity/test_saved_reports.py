"""The report as a file: where it lies, that it reads back, what it leaves alone."""

import json
from pathlib import Path

import msgspec
import pytest
from verify_cases import QUICK

from edgedistill.runtime import verify
from edgedistill.runtime.bundle import decode_manifest, latest_run, read_runs, results_folder
from edgedistill.runtime.parity import ParityReport


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
