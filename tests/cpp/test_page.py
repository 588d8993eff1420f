"""docs/cpp.md, from top to bottom: it builds without a warning, and what it builds says what Python says."""

import json
import shutil

import pytest
from cpp_built import reader, shell

from edgedistill import runtime

pytestmark = pytest.mark.slow  # a compiler builds the library first


def test_every_command_of_the_page_works(built):
    for step in built.steps:
        assert step["code"] == 0, f"{step['text']}\n{step['out'][-3000:]}\n{step['err'][-3000:]}"


def test_the_program_of_the_page_says_what_python_says(built, tiny_bundle):
    lines = [line for line in built.steps[1]["out"].splitlines() if line.startswith("edgedistill_cpp/bundle/selftest/")]
    said = [line.split(": ")[1].split() for line in lines]
    photographs = sorted((tiny_bundle / "selftest").glob("*.jpg"))
    with runtime.load(tiny_bundle, name="ov-fp32") as predictor:
        expected = [pair for one in predictor.predict(photographs) for pair in one.labels.items()]
    assert [name for name, _ in said] == [name for name, _ in expected]
    assert all(abs(float(a) - b) < 1e-5 for (_, a), (_, b) in zip(said, expected, strict=True))


def test_the_example_proves_itself_and_writes_the_lines_of_predict(built, tiny_bundle, command):
    first, *lines = built.steps[2]["out"].splitlines()
    assert first.startswith("ov-fp32: passed: 3 photographs: ")
    photographs = sorted((tiny_bundle / "selftest").glob("*.jpg"))
    _, out, _ = command("predict", tiny_bundle, *photographs, "--backend", "openvino", "--json")
    for line, expected in zip(map(json.loads, lines), map(json.loads, out.splitlines()), strict=True):
        assert list(line) == list(expected)
        assert list(line["labels"]) == list(expected["labels"])
        assert all(abs(line["labels"][name] - score) < 1e-6 for name, score in expected["labels"].items())


def test_the_folder_has_the_bundles_numbers_and_what_it_runs(built):
    text = (built.app / "README.md").read_text()
    assert text.startswith("# tiny in C++\n\n4 classes, photographs as 16 x 16 pixels (squash, bilinear).")
    assert "| ov-fp32 | fp32 | openvino/model.fp32.xml |" in text
    assert "{{" not in text
    assert "Checked by us, " in text
    assert "Not run by\nus: " in text
    assert (built.app / "bundle" / "onnx" / "model.fp32.onnx").exists()


def test_the_folder_stands_alone_as_its_readme_says(built, tmp_path):
    shutil.copytree(built.app, tmp_path / "app")
    text = (tmp_path / "app" / "README.md").read_text()
    (configure,) = [line.strip() for line in text.splitlines() if line.startswith("    cmake -B build ")]
    run = shell(configure, tmp_path / "app", reader(tmp_path))
    assert run.returncode == 0, run.stderr
    targets = shell("cmake --build build --target help", tmp_path / "app", reader(tmp_path)).stdout
    assert "edgedistill_predict" in targets


def test_an_artifact_that_the_library_does_not_run_is_refused(tiny_bundle, command, golden_copy, tmp_path):
    def all_of_another(manifest: dict) -> None:
        for artifact in manifest["artifacts"]:
            artifact["target"]["backend"] = "tensorrt"

    golden_copy(tmp_path / "bundle", all_of_another)
    code, _, err = command("app", "cpp", tmp_path / "bundle", "-o", tmp_path / "app")
    assert code == 2
    assert "no artifact for 'cpp'" in err
    code, _, err = command("app", "cpp", tmp_path / "bundle", "-o", tmp_path / "app", "-a", "ov-fp32")
    assert code == 2
    assert "ov-fp32: 'cpp' runs artifacts of openvino and onnxruntime" in err
    assert not (tmp_path / "app").exists()
