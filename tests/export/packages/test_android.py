"""`edgedistill app android`: what is generated, and its files by the tools that read them."""

import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from edgedistill.export.packages.android import package_android

FRAMEWORK = Path("/usr/share/android-framework-res/framework-res.apk")
ANDROID = "{http://schemas.android.com/apk/res/android}"


@pytest.fixture(scope="module")
def project(generated):
    return generated("android")


def test_every_number_and_name_is_filled_in(project):
    for path in project.rglob("*"):
        if path.is_file() and "assets" not in path.parts:
            assert not re.search(r"\{\{|\}\}|@@", path.read_text(encoding="utf-8")), path
    readme = (project / "README.md").read_text(encoding="utf-8")
    assert "16 x 16 pixels" in readme
    assert "4 classes" in readme
    assert "| ort-fp32 | fp32 | onnx/model.fp32.onnx |" in readme
    assert 'rootProject.name = "classifier_tiny"' in (project / "settings.gradle.kts").read_text()


def test_what_the_manifest_names_is_in_the_sources(project):
    main = project / "app/src/main"
    root = ElementTree.parse(main / "AndroidManifest.xml").getroot()
    sources = {path.stem: path.read_text(encoding="utf-8") for path in main.rglob("*.kt")}
    for element in (*root.iter("activity"), *root.iter("provider")):
        package, _, name = element.attrib[f"{ANDROID}name"].rpartition(".")
        assert f"package {package}\n" in sources[name]
        assert f"class {name} " in sources[name]
    assert not list(root.iter("uses-permission"))
    strings = {one.attrib["name"] for one in ElementTree.parse(main / "res/values/strings.xml").getroot()}
    used = set(re.findall(r"R\.string\.(\w+)", "".join(sources.values())))
    assert strings == used | {"app_name"}


def test_a_name_with_signs_of_every_language(named, odd_name, tmp_path):
    place = package_android(named, tmp_path / "app")
    root = ElementTree.parse(place / "app/src/main/res/values/strings.xml").getroot()
    (name,) = [one.text for one in root if one.attrib["name"] == "app_name"]
    # In a resource's double quotes, \ stands before what would end or mean something.
    assert re.sub(r"\\(.)", r"\1", name[1:-1]) == odd_name
    assert re.fullmatch(r'"(?:[^"\\]|\\.)*"', name)
    assert '"com.example.classifier_muller_s_best_class_net_100_name"' in (place / "app/build.gradle.kts").read_text()


def test_every_kotlin_and_gradle_file_is_parsed(project):
    kotlin = pytest.importorskip("tree_sitter_kotlin", reason='needs `pip install "edgedistill[test]"`')
    from tree_sitter import Language, Parser

    parser = Parser(Language(kotlin.language()))
    files = [*project.rglob("*.kt"), *project.rglob("*.kts")]
    assert len(files) == 11
    for path in files:
        assert not parser.parse(path.read_bytes()).root_node.has_error, path.name


def test_aapt_compiles_the_manifest_and_the_resources(project, tmp_path):
    """Against the resources of Android 10 itself: an attribute that is none is an error."""
    if not shutil.which("aapt") or not FRAMEWORK.exists():
        pytest.skip("needs `apt-get install aapt android-framework-res`")
    text = (project / "app/src/main/AndroidManifest.xml").read_text(encoding="utf-8")
    assert text.count("<manifest ") == 1
    # Gradle fills in these two.
    text = text.replace("<manifest ", '<manifest package="edgedistill.app" ').replace("${applicationId}", "com.example")
    (tmp_path / "AndroidManifest.xml").write_text(text, encoding="utf-8")
    java = tmp_path / "java"
    java.mkdir()
    command = ["aapt", "package", "-f", "-m", "-J", java, "-M", tmp_path / "AndroidManifest.xml", "-I", FRAMEWORK]
    command += ["-S", project / "app/src/main/res", "-F", tmp_path / "out.apk"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "int selftest=" in (java / "edgedistill/app/R.java").read_text()
