"""The published schema is the code's own, says its version, and takes what every version of it wrote."""

import json
from pathlib import Path

import jsonschema
import pytest

from edgedistill import runtime
from edgedistill.runtime.bundle import SCHEMA_VERSION, manifest_schema

PUBLISHED = Path(__file__).parents[2] / "docs" / "manifest.schema.json"
GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("bundle_schema_*"))


@pytest.fixture(scope="module")
def schema():
    return jsonschema.Draft202012Validator(json.loads(PUBLISHED.read_text(encoding="utf-8")))


def test_the_published_schema_is_current():
    expected = json.dumps(manifest_schema(), indent=2) + "\n"
    assert PUBLISHED.read_text(encoding="utf-8") == expected, (
        'regenerate it: python -c "import json; from edgedistill.runtime.bundle import manifest_schema; '
        'print(json.dumps(manifest_schema(), indent=2))" > docs/manifest.schema.json'
    )


def test_it_is_a_schema_and_says_of_which_version(schema):
    schema.check_schema(schema.schema)
    assert schema.schema["$id"] == f"urn:edgedistill:manifest:{SCHEMA_VERSION}"


def test_there_is_a_golden_bundle_of_every_version():
    """Whoever raises the version keeps a bundle that the version before wrote."""
    assert [root.name for root in GOLDEN] == [f"bundle_schema_{version + 1}" for version in range(SCHEMA_VERSION)]


@pytest.mark.parametrize("root", GOLDEN, ids=lambda root: root.name)
def test_what_earlier_versions_wrote_is_valid_and_opens(schema, root):
    schema.validate(json.loads((root / "manifest.json").read_text(encoding="utf-8")))
    assert runtime.selftest(root, backend="onnxruntime").passed


def test_what_this_version_writes_is_valid(schema, tiny_bundle):
    schema.validate(json.loads((tiny_bundle / "manifest.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.pop("classes"),
        lambda manifest: manifest.update(schema_version=SCHEMA_VERSION + 1),
        lambda manifest: manifest.update(thresholds="0.5"),
        lambda manifest: manifest["preprocessing"].update(resize="seam_carving"),
        lambda manifest: manifest["artifacts"][0]["files"][0].pop("sha256"),
    ],
)
def test_what_is_wrong_is_not(schema, change):
    manifest = json.loads((GOLDEN[0] / "manifest.json").read_text(encoding="utf-8"))
    manifest["unknown"] = {"of a later version": 1}
    schema.validate(manifest)
    change(manifest)
    with pytest.raises(jsonschema.ValidationError):
        schema.validate(manifest)
