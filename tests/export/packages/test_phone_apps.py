"""What is the same of every app for a phone."""

import json
import re

import pytest

from edgedistill import runtime
from edgedistill.export.packages import PACKAGES
from edgedistill.export.packages.phone import slug
from edgedistill.runtime.errors import BundleError, ConfigError

ASSETS = {"android": "app/src/main/assets", "ios": "App/Assets"}
NATIVE = pytest.mark.parametrize("kind", ASSETS)
KINDS = pytest.mark.parametrize("kind", [*ASSETS, "react_native"])


@NATIVE
def test_the_bundle_is_there_as_it_was_exported(kind, generated, tiny_bundle):
    assets = generated(kind) / ASSETS[kind]
    copied = runtime.open_bundle(assets / "bundle")
    assert (assets / "bundle/manifest.json").read_bytes() == (tiny_bundle / "manifest.json").read_bytes()
    assert not (assets / "bundle/openvino").exists()
    for entry in (copied.manifest.artifacts[0].files[0], *(golden.file for golden in copied.manifest.selftest)):
        assert copied.read(entry)


@NATIVE
def test_the_limits_of_the_selftest_are_pythons(kind, generated, tiny_bundle):
    facts = json.loads((generated(kind) / ASSETS[kind] / "app.json").read_text())
    report = runtime.selftest(tiny_bundle, artifacts=["ort-fp32"])
    assert [one["name"] for one in facts["artifacts"]] == ["ort-fp32"]
    assert facts["artifacts"][0]["largest"] == report.artifacts[0].tolerance
    assert facts["artifacts"][0]["mean"] == report.artifacts[0].mean_tolerance


@KINDS
def test_every_number_and_name_is_filled_in(kind, generated):
    for path in generated(kind).rglob("*"):
        if path.is_file() and not {"assets", "Assets"} & set(path.parts):
            assert not re.search(r"\{\{\w+(:raw)?\}\}|@@", path.read_text(encoding="utf-8")), path
    readme = (generated(kind) / "README.md").read_text(encoding="utf-8")
    assert "16 x 16 pixels" in readme
    assert "4 classes" in readme
    assert "| ort-fp32 | fp32 | onnx/model.fp32.onnx |" in readme
    assert "Checked by us: " in readme
    assert "Not run by us: " in readme


@pytest.mark.parametrize("name", ["class", "7", "日本", "", "a" * 300, "int", "-"])
def test_a_slug_is_a_name_everywhere(name):
    assert re.fullmatch(r"classifier(_[a-z0-9_]*[a-z0-9])?", slug(name))
    assert len(slug(name)) <= 60


@KINDS
def test_a_bundle_that_it_cannot_run_is_refused_in_a_line(kind, golden_copy, command, tmp_path):
    def without_onnx(manifest):
        manifest["artifacts"] = [one for one in manifest["artifacts"] if one["target"]["backend"] != "onnxruntime"]

    bundle = golden_copy(tmp_path / "bundle", without_onnx)
    code, out, err = command("app", kind, bundle, "-o", tmp_path / "app")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"no artifact for '{kind}'" in err
    assert "--target onnxruntime-mobile-int8" in err
    assert not (tmp_path / "app").exists()


@KINDS
def test_an_artifact_is_named(kind, tiny_bundle, tmp_path):
    opened = runtime.open_bundle(tiny_bundle)
    package = PACKAGES.get(kind)
    with pytest.raises(ConfigError, match="ov-fp32"):
        package(opened, tmp_path / "a", artifacts=["ov-fp32"])
    with pytest.raises(BundleError, match="nothing"):
        package(opened, tmp_path / "b", artifacts=["nothing"])


@KINDS
def test_a_tampered_bundle_makes_no_app(kind, make_tiny_bundle, command, tmp_path):
    bundle = make_tiny_bundle(tmp_path / "bundle")
    with (bundle / "onnx/model.fp32.onnx").open("ab") as stream:
        stream.write(b"more")
    code, _, err = command("app", kind, bundle, "-o", tmp_path / "app")
    assert (code, err.count("\n")) == (2, 1)
    assert "model.fp32.onnx" in err
    assert not (tmp_path / "app").exists()
