"""`edgedistill app react_native`: its files, its TypeScript by the real types, and what it does in Node.js."""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from npm import NODE, npm_packages
from PIL import Image

from edgedistill import runtime
from edgedistill.export.packages.react_native import package_react_native
from edgedistill.export.packages.template import TEMPLATES

HERE = Path(__file__).parent / "react_native"


@pytest.fixture(scope="module")
def project(generated):
    return generated("react_native")


def listed(project):
    return dict(re.findall(r'^  ("(?:[^"\\]|\\.)*"): require\("\./(.*)"\),$', (project / "files.ts").read_text(), re.M))


def test_the_bundle_is_there_as_it_was_exported(project, tiny_bundle):
    files = {json.loads(path): place for path, place in listed(project).items()}
    golden = [f"selftest/{path.name}" for path in (tiny_bundle / "selftest").iterdir()]
    assert set(files) == {"manifest.json", "onnx/model.fp32.onnx", *golden}
    for path, place in files.items():
        assert (project / place).read_bytes() == (tiny_bundle / path).read_bytes()
    assert len(list((project / "assets").iterdir())) == len(files)
    assert not (project / "bundle").exists()


def test_the_module_is_the_one_of_the_other_apps(project):
    ours = {path.name: path.read_text() for path in (TEMPLATES / "javascript").iterdir() if path.suffix == ".js"}
    assert ours == {path.name: path.read_text() for path in (project / "edgedistill").glob("*.js")}


def test_a_name_with_signs_of_every_language(named, odd_name, tmp_path):
    place = package_react_native(named, tmp_path / "app")
    assert json.loads((place / "app.json").read_text())["expo"]["name"] == odd_name
    assert re.fullmatch(r"[a-z0-9-]+", json.loads((place / "package.json").read_text())["name"])


def test_it_asks_for_what_it_imports(project):
    asked = json.loads((project / "package.json").read_text())
    sources = "".join((project / name).read_text() for name in ("App.tsx", "classifier.ts", "index.ts"))
    imported = set(re.findall(r'from "([^".][^"]*)"', sources))
    assert imported == set(asked["dependencies"])
    assert (project / asked["main"]).exists()


@pytest.mark.slow  # React Native and Expo take a minute to be installed, once
def test_its_types_are_right(project, tmp_path):
    asked = json.loads((project / "package.json").read_text())
    packages = {**asked["dependencies"], **asked["devDependencies"]}
    modules = npm_packages(*(f"{name}@{version}" for name, version in packages.items()))
    copy = _with_modules(project, tmp_path / "app", modules)
    (example,) = re.findall(r"```ts\n(.*?)```", (project / "README.md").read_text(), re.S)
    (copy / "example.ts").write_text(example)
    done = _types(copy, modules)
    assert done.returncode == 0, done.stdout
    (copy / "example.ts").write_text(example.replace("ownArtifacts(bundle)[0]!", "7"))
    assert "example.ts" in _types(copy, modules).stdout


def _with_modules(project, copy, modules):
    copy.mkdir()
    for path in project.iterdir():
        (copy / path.name).symlink_to(path)
    (copy / "node_modules").symlink_to(modules)
    return copy


def _types(copy, modules):
    command = [NODE, modules / "typescript/bin/tsc", "--noEmit", "--preserveSymlinks", "-p", copy]
    return subprocess.run([str(part) for part in command], cwd=copy, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_its_labels_are_pythons(project, tiny_bundle, tmp_path):
    modules = npm_packages("onnxruntime-node@1.30.0", "sharp@0.35.5", "typescript@6.0.3")
    photographs = sorted((tiny_bundle / "selftest").iterdir())
    pixels = np.random.default_rng(0).integers(0, 256, (37, 51, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    Image.fromarray(np.dstack([pixels, pixels[..., :1]])).save(tmp_path / "transparent.png")
    photographs += [tmp_path / "turned.jpg", tmp_path / "transparent.png"]
    command = [NODE, HERE / "run.mjs", project, tmp_path / "copy", modules, *photographs]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["artifacts"], found["left"]) == (["ort-fp32"], [])
    assert found["selftest"]["passed"]
    with runtime.load(tiny_bundle, backend="onnxruntime") as predictor:
        for labels, prediction in zip(found["labels"], predictor.predict(photographs), strict=True):
            assert {one["label"]: one["probability"] for one in labels} == pytest.approx(prediction.labels, abs=2e-3)
            assert [one["label"] for one in labels] == list(prediction.labels)
    altered, unreadable, absent = found["refused"]
    assert "SHA-256" in altered
    assert "cannot decode" in unreadable
    assert "not in this app" in absent
    assert all(one.startswith("EdgedistillError: ") and "\n" not in one for one in found["refused"])
