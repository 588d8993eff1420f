"""docs/bundle.md lists every key of manifest.json and of a run's file, with its type and default, and no other."""

import re
import types
import typing
from pathlib import Path

import msgspec
import pytest

from edgedistill.runtime.bundle import (
    Ancestor,
    Artifact,
    CalibrationData,
    Coverage,
    ExportParity,
    FileEntry,
    GoldenImage,
    Lineage,
    Manifest,
    Observed,
    OperatingPoint,
    Provenance,
    Reference,
    Run,
)
from edgedistill.runtime.device import Device
from edgedistill.runtime.preprocess import Preprocessing
from edgedistill.runtime.targets import Gates, Target
from edgedistill.runtime.tensors import BatchRange, TensorSpec

PAGE = (Path(__file__).parents[2] / "docs" / "bundle.md").read_text(encoding="utf-8")
# A heading, and what other tables call such an object.
SECTIONS = {
    Manifest: ("The manifest", "manifest"),
    Preprocessing: ("preprocessing", "preprocessing"),
    TensorSpec: ("inputs and outputs", "tensor"),
    Provenance: ("provenance", "provenance"),
    Artifact: ("artifacts", "artifact"),
    Target: ("target", "target"),
    BatchRange: ("batch", "batch"),
    Gates: ("gates", "gates"),
    ExportParity: ("parity", "parity"),
    FileEntry: ("file", "file"),
    GoldenImage: ("selftest", "golden image"),
    Reference: ("references", "reference"),
    Coverage: ("coverage", "coverage"),
    CalibrationData: ("calibration", "calibration"),
    OperatingPoint: ("operating point", "operating point"),
    Lineage: ("lineage", "lineage"),
    Ancestor: ("ancestors", "ancestor"),
    Observed: ("observed", "observed"),
    Run: ("The run", "run"),
    Device: ("device", "device"),
}
PLAIN = {
    str: "text",
    int: "integer",
    float: "number",
    type(None): "null",
    msgspec.Raw: "object",
    dict[str, str]: "object of text",
    dict[str, float]: "object of number",
    dict[str, typing.Any]: "object",
}


def tables() -> dict[str, list[list[str]]]:
    """The rows of the table under each heading of the third level that has one of keys."""
    found = {}
    for part in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        rows = [
            [cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line[:1] == "|"
        ]
        if rows and rows[0][0].strip() == "key":
            ours = text.split("\n## ")[0]
            found[heading] = [row for row in rows[2:] if f"| {row[0]} |" in ours]
    return found


def words(kind: object) -> str:
    """A type as the page says it."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        heading, name = SECTIONS[kind]
        return f"[{name}](#{heading.replace(' ', '-')})"
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return " or ".join(f'"{word}"' for word in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(words, arguments))
    if origin is tuple and arguments[-1] is not Ellipsis:
        return f"[{', '.join(map(words, arguments))}]"
    if origin in (list, tuple):
        return f"list of {words(arguments[0])}"
    return PLAIN[kind]


def structs_in(kind: object) -> set[type]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {kind}.union(*(structs_in(field.type) for field in msgspec.structs.fields(kind)))
    return set().union(*map(structs_in, typing.get_args(kind)))


def test_there_is_a_table_for_every_object_and_no_other():
    assert structs_in(Manifest) | structs_in(Run) | {Gates} == set(SECTIONS)
    assert set(tables()) == {heading for heading, _ in SECTIONS.values()}


@pytest.mark.parametrize("struct", SECTIONS, ids=lambda struct: struct.__name__)
def test_every_key_is_listed_with_its_type_and_no_other_key(struct):
    listed = {row[0].strip("`"): (row[1], row[2] == "required") for row in tables()[SECTIONS[struct][0]]}
    expected = {field.name: (words(field.type), field.required) for field in msgspec.structs.fields(struct)}
    assert listed == expected


@pytest.mark.parametrize("struct", SECTIONS, ids=lambda struct: struct.__name__)
def test_every_default_that_is_printed_as_code_is_the_default(struct):
    for row in tables()[SECTIONS[struct][0]]:
        field = next(field for field in msgspec.structs.fields(struct) if field.name == row[0].strip("`"))
        default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        if row[2].startswith("`"):
            said = row[2].strip("`")
            assert said == (default if isinstance(default, str) else msgspec.json.encode(default).decode())
        elif row[2] == "empty":
            assert default == ""


def test_links_within_the_page_lead_somewhere():
    headings = re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\(#([^)]*)\)", PAGE)) <= anchors
