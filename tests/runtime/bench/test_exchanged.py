"""A file that becomes another while it is measured."""

import shutil

import msgspec
import pytest
from bench_cases import rewrite, run

from edgedistill.runtime.bundle import describe_file, open_bundle
from edgedistill.runtime.errors import BundleError


@pytest.fixture
def exchange(make_tiny_bundle, tmp_path):
    """A bundle and a function that puts another in its place, intact and with artifacts of the same names."""
    root, other = make_tiny_bundle(tmp_path / "b"), make_tiny_bundle(tmp_path / "other")
    file = other / "onnx" / "model.fp32.onnx"
    file.write_bytes(file.read_bytes() + b"\x12\x01x")  # ModelProto's producer_name: the same graph in another file
    ort, *others = open_bundle(other).manifest.artifacts
    rewrite(other, msgspec.structs.replace(ort, files=(describe_file(file, other),)), *others)

    def swap(text: str) -> None:
        if text == "round 2 of 2: ov-fp32":
            shutil.copytree(other, root, dirs_exist_ok=True)

    return root, swap


def test_a_bundle_that_is_exchanged_between_turns_is_refused(exchange, monkeypatch):
    root, swap = exchange
    names = ["ort-fp32", "ov-fp32"]
    report = run(root, monkeypatch, artifacts=names, one_at_a_time=True, progress=swap)
    other, refused = sorted(report.artifacts, key=lambda entry: entry.name, reverse=True)
    assert (other.status, len(other.turns)) == ("ran", 2)  # its process had loaded it before
    assert (refused.status, refused.turns) == ("failed", ())
    assert refused.reason == f"{root}: was exchanged while it was measured: run it again."
    again = run(root, monkeypatch, artifacts=names, one_at_a_time=True)
    assert again.manifest_sha256 != report.manifest_sha256
    assert {entry.status for entry in again.artifacts} == {"ran"}


def test_a_photograph_that_is_altered_meanwhile_costs_its_own_figure_alone(
    make_tiny_bundle, tmp_path, monkeypatch, caplog
):
    root = make_tiny_bundle(tmp_path / "b")
    report = run(root, monkeypatch, progress=lambda _: (root / "selftest" / "red.jpg").write_bytes(b"other"))
    assert (report.artifacts[0].status, report.preprocess_ms) == ("ran", None)
    assert report.saved
    assert "the way from a photograph to its labels is not timed: " in caplog.text


@pytest.mark.parametrize(("main", "changed"), [("model.onnx", "model.onnx"), ("model.xml", "model.bin")])
def test_a_model_file_that_is_exchanged_between_turns_is_refused(tiny_bundle, tmp_path, monkeypatch, main, changed):
    for path in (tiny_bundle / "onnx" / "model.fp32.onnx", *(tiny_bundle / "openvino").iterdir()):
        shutil.copy(path, tmp_path / path.name.replace(".fp32", ""))

    def swap(text: str) -> None:
        if text == f"round 1 of 2: {main}":
            file = tmp_path / changed
            added = b"\x12\x01x" if changed.endswith(".onnx") else b"\0"
            file.write_bytes(file.read_bytes() + added)

    with pytest.raises(BundleError, match="was exchanged while it was measured: run it again") as refused:
        run(tmp_path / main, monkeypatch, artifacts=None, one_at_a_time=True, progress=swap)
    assert "\n" not in str(refused.value)
    assert run(tmp_path / main, monkeypatch, artifacts=None).artifacts[0].status == "ran"
