"""What packages share: templates that are filled in, places that get all or nothing, a bundle's part for an app."""

import json

import msgspec
import pytest

from edgedistill import runtime
from edgedistill.export.packages import template
from edgedistill.export.packages.contents import choose_artifacts, format_of, write_contents
from edgedistill.export.packages.placing import placed
from edgedistill.export.packages.template import copy_templates, fill
from edgedistill.runtime.errors import BundleError, ConfigError, EdgedistillError

HOSTILE = 'a "b" \\ $c <d> & `e` {{f}}\n; ${g}'


@pytest.mark.parametrize(
    ("suffix", "filled"),
    [
        (".json", r"a \"b\" \\ $c <d> & `e` {{f}} ; ${g}"),
        (".mjs", r"a \"b\" \\ $c \u003cd> & `e` {{f}} ; ${g}"),
        (".html", "a &quot;b&quot; \\ $c &lt;d&gt; &amp; `e` {{f}} ; ${g}"),
        (".kts", r"a \"b\" \\ \$c <d> & `e` {{f}} ; \${g}"),
        (".sh", r"a \"b\" \\ \$c <d> & \`e\` {{f}} ; \${g}"),
        ("CMakeLists.txt", r"a \"b\" \\ \$c <d> & `e` {{f}} \; \${g}"),
        (".md", r'a "b" \\ $c &lt;d&gt; &amp; \`e\` {{f}} ; ${g}'),
    ],
)
def test_a_value_is_escaped_for_the_files_language(suffix, filled):
    assert fill("<{{name}}>{{number:raw}}", {"name": HOSTILE, "number": 3}, suffix) == f"<{filled}>3"


def test_json_reads_back_what_was_filled_in():
    text = fill('{"name": "{{name}}"}', {"name": HOSTILE}, ".json")
    assert json.loads(text) == {"name": HOSTILE.replace("\n", " ")}


def test_a_tree_is_copied_with_its_names_and_bytes(tmp_path, monkeypatch):
    root = tmp_path / "templates" / "toy"
    (root / "src" / "{{package}}").mkdir(parents=True)
    (root / "src" / "{{package}}" / "a.json").write_bytes(b'"{{name}}"\n')
    (root / "icon.png").write_bytes(b"\x89PNG\0{{name}}")
    (root / "run.sh").write_text("echo")
    (root / "run.sh").chmod(0o755)
    monkeypatch.setattr(template, "TEMPLATES", tmp_path / "templates")
    copy_templates("toy", tmp_path / "out", {"package": "org/example", "name": 'x"'})
    assert (tmp_path / "out/src/org/example/a.json").read_bytes() == b'"x\\""\n'
    assert (tmp_path / "out/icon.png").read_bytes() == b"\x89PNG\0{{name}}"
    assert (tmp_path / "out/run.sh").stat().st_mode & 0o100
    with pytest.raises(ValueError, match="part of a path"):
        copy_templates("toy", tmp_path / "other", {"package": "../x", "name": ""})
    with pytest.raises(KeyError):
        copy_templates("toy", tmp_path / "other", {"package": "x"})


def test_a_place_gets_all_or_nothing(tmp_path):
    out = tmp_path / "new" / "app"

    def half() -> None:
        with placed(out) as made:
            made.mkdir()
            (made / "half").touch()
            raise BundleError("x")

    with pytest.raises(BundleError):
        half()
    assert list(out.parent.iterdir()) == []
    out.mkdir()
    with placed(out) as made:
        made.mkdir()
        (made / "whole").touch()
    assert [path.name for path in out.iterdir()] == ["whole"]
    assert [path.name for path in out.parent.iterdir()] == ["app"]
    with pytest.raises(ConfigError, match="not empty"), placed(out):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(EdgedistillError, match="cannot be written"), placed(tmp_path / "file" / "app"):
        pass


def test_an_apps_part_of_a_bundle_is_a_bundle(tiny_bundle, tmp_path):
    bundle = runtime.open_bundle(tiny_bundle)
    held = {"formats": {"onnxruntime": ("onnx",)}, "target": "onnxruntime-cpu-fp32"}
    (artifact,) = choose_artifacts(bundle, "toy", None, **held)
    assert (artifact.name, format_of(artifact)) == ("ort-fp32", "onnx")
    paths = write_contents(bundle, [artifact], tmp_path)
    assert paths[:2] == ["manifest.json", "onnx/model.fp32.onnx"]
    assert (tmp_path / "manifest.json").read_bytes() == bundle.manifest_bytes
    assert sorted(paths) == sorted(
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()
    )
    with runtime.load(tmp_path, name="ort-fp32") as predictor:
        assert "red" in predictor.predict(tmp_path / "selftest" / "red.jpg")[0].labels


def test_what_an_app_cannot_run_is_refused(tiny_bundle):
    bundle = runtime.open_bundle(tiny_bundle)
    held = {"formats": {"onnxruntime": ("onnx",)}, "target": "onnxruntime-cpu-fp32"}
    with pytest.raises(ConfigError, match="ov-fp32: 'toy' runs artifacts of onnxruntime"):
        choose_artifacts(bundle, "toy", ["ov-fp32"], **held)
    with pytest.raises(BundleError, match="holds no artifact 'x'"):
        choose_artifacts(bundle, "toy", ["x"], **held)
    left = msgspec.structs.replace(bundle.manifest, artifacts=bundle.manifest.artifacts[1:])
    with pytest.raises(ConfigError, match="no artifact for 'toy'.*`--target onnxruntime-cpu-fp32`"):
        choose_artifacts(runtime.Bundle(bundle.storage, left, b""), "toy", None, **held)
