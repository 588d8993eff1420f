"""`edgedistill app ios`: the project's files by what reads them; no Swift compiler is to be had here."""

import base64
import json
import plistlib
import re
from pathlib import Path

import numpy as np
import pytest

from edgedistill.export.packages.ios import package_ios
from edgedistill.export.packages.template import TEMPLATES

GOLDEN = TEMPLATES / "ios/PhotoClassifier/Tests/PhotoClassifierCoreTests/golden.json"


@pytest.fixture(scope="module")
def project(generated):
    return generated("ios")


def test_the_project_names_what_is_there(project):
    tree = plistlib.loads((project / "App.xcodeproj/project.pbxproj").read_bytes())
    objects = tree["objects"]
    groups = {child: key for key, one in objects.items() for child in one.get("children", ())}

    def place(key):
        own = objects[key].get("path", "")
        return place(groups[key]) / own if key in groups else Path(own)

    files = {
        place(key).as_posix()
        for key, one in objects.items()
        if one["isa"] == "PBXFileReference" and one["sourceTree"] == "<group>"
    }
    assert files == {f"App/{path.name}" for path in (project / "App").iterdir()}
    settings = [one["buildSettings"] for one in objects.values() if one["isa"] == "XCBuildConfiguration"]
    assert {one["PRODUCT_BUNDLE_IDENTIFIER"] for one in settings if "INFOPLIST_FILE" in one} == {
        "com.example.classifier-tiny"
    }
    assert all((project / one["INFOPLIST_FILE"]).exists() for one in settings if "INFOPLIST_FILE" in one)
    (package,) = [one for one in objects.values() if one["isa"] == "XCLocalSwiftPackageReference"]
    assert (project / package["relativePath"] / "Package.swift").exists()
    compiled = [objects[objects[key]["fileRef"]]["path"] for key in _phase(objects, "PBXSourcesBuildPhase")]
    assert sorted(compiled) == sorted(path.name for path in (project / "App").glob("*.swift"))
    assert [objects[objects[key]["fileRef"]]["path"] for key in _phase(objects, "PBXResourcesBuildPhase")] == ["Assets"]


def _phase(objects, isa):
    (phase,) = [one for one in objects.values() if one["isa"] == isa]
    return phase["files"]


def test_every_reference_within_the_project_leads_somewhere(project):
    tree = plistlib.loads((project / "App.xcodeproj/project.pbxproj").read_bytes())
    objects = tree["objects"]
    named = set(re.findall(r"\bED[0-9A-F]{22}\b", json.dumps(list(objects.values())))) | {tree["rootObject"]}
    assert named == set(objects)


def test_a_name_with_signs_of_every_language(named, odd_name, tmp_path):
    place = package_ios(named, tmp_path / "app")
    information = plistlib.loads((place / "App/Info.plist").read_bytes())
    assert information["CFBundleDisplayName"] == odd_name
    assert information["NSCameraUsageDescription"]
    title = re.search(r'navigationTitle\("((?:[^"\\]|\\.)*)"\)', (place / "App/ContentView.swift").read_text())
    assert json.loads(f'"{title[1]}"') == odd_name


def test_every_swift_file_is_parsed(project):
    swift = pytest.importorskip("tree_sitter_swift", reason='needs `pip install "edgedistill[test]"`')
    from tree_sitter import Language, Parser

    parser = Parser(Language(swift.language()))
    files = sorted(project.rglob("*.swift"))
    assert len(files) == 12
    for path in files:
        root = parser.parse(path.read_bytes()).root_node
        assert not root.has_error, f"{path.name}: {_first_error(root)}"
    (snippet,) = re.findall(r"```swift\n(.*?)```", (project / "README.md").read_text(), re.DOTALL)
    assert not parser.parse(snippet.encode()).root_node.has_error


def _first_error(node):
    if node.is_error or node.is_missing:
        return node.start_point
    return next((found for child in node.children if (found := _first_error(child))), None)


def test_the_golden_pixels_are_pillows(make_case, compare_resized):
    cases = json.loads(GOLDEN.read_text())
    assert len(cases) == 10
    for one in cases:
        stored = np.frombuffer(base64.b64decode(one["stored"]), np.uint8).reshape(one["height"], one["width"], 3)
        case = make_case(stored, one["preprocessing"])
        compare_resized([case], [np.frombuffer(base64.b64decode(one["resized"]), np.uint8).reshape(case.wanted.shape)])
