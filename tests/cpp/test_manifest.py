"""Manifests that are nonsense: an error of one line, and never an accepted one that Python refuses."""

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cpp_built import blobs

from edgedistill.runtime.bundle import decode_manifest
from edgedistill.runtime.errors import BundleError

pytestmark = pytest.mark.slow  # a compiler builds the library first

GOLDEN = Path(__file__).parents[1] / "golden" / "bundle_schema_1" / "manifest.json"
VALUES = [
    *(None, True, False, 0, 1, -1, 2, 7, 65_537, 2**31, 2**53, 2**63, 2**64, -(2**63), 0.5, -0.5, 1e308, -0.0),
    *(
        "",
        " ",
        "x",
        "../x",
        "/etc/passwd",
        "C:\\x",
        "a\nb",
        "con.txt",
        "results/x",
        "é",
        [],
        [[]],
        {},
        {"a": 1},
        [1, 2],
        [0.5] * 4,
    ),
]
HUGE = ("1e+308", str(2**63), str(2**64))  # numbers that C++ has no place for
# What the library does not use: it may accept what Python refuses there.
UNUSED = (
    *("provenance", "references", "details", "bench", "description", "compute_capabilities", "gates", "target.name"),
    *("images", "mean_abs_logit", "rule", "ece_before", "ece_after", "operating_point.dataset", "fingerprint"),
)

POINT = {
    "thresholds": [0.5] * 4,
    "temperature": 1.5,
    "rule": "0.5",
    "ece_before": 1.0,
    "ece_after": 1.0,
    "dataset": "d",
    "fingerprint": "f",
    "images": 3,
}


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place of a document."""
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


def changed(document: Any, path: tuple[str | int, ...], value: Any, *, remove: bool) -> Any:
    made = copy.deepcopy(document)
    if not path:
        return value
    parent = made
    for part in path[:-1]:
        parent = parent[part]
    if remove:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return made


def is_accepted(data: bytes) -> bool:
    try:
        decode_manifest(data, "m")
    except BundleError:
        return False
    return True


def answers(library, data: list[bytes]) -> list[str]:
    lines = library.probe("manifests", blobs(data)).decode().splitlines()
    assert len(lines) == len(data)
    return lines


def test_what_python_refuses_is_refused_and_nothing_else(library):
    document = json.loads(GOLDEN.read_text())
    document["artifacts"][1]["operating_point"] = POINT
    rng = random.Random(1)
    cases = []
    for path in places(document):
        values = rng.sample(VALUES, 5)
        cases += [(path, json.dumps(changed(document, path, value, remove=False))) for value in values]
        if path:
            cases.append((path, json.dumps(changed(document, path, None, remove=True))))
    lines = answers(library, [text.encode() for _, text in cases])
    for (path, text), line in zip(cases, lines, strict=True):
        name = ".".join(map(str, path))
        if line == "ok" and not any(word in name for word in UNUSED):
            assert is_accepted(text.encode()), f"{name}: Python refuses it"
        if line != "ok":
            assert line.startswith("m: ")
            assert not is_accepted(text.encode()) or any(number in text for number in HUGE), f"{name}: {line}"
    assert min(lines.count("ok"), len(lines) - lines.count("ok")) > 100


def test_a_sound_manifest_with_what_a_later_version_adds_is_read(library):
    document = json.loads(GOLDEN.read_text())
    later = copy.deepcopy(document)
    later["later"] = {"a": [1]}
    later["artifacts"][0]["target"]["later"] = later["preprocessing"]["later"] = 3
    later["artifacts"][1]["status"] = later["artifacts"][2]["target"]["backend"] = "later"
    assert answers(library, [GOLDEN.read_bytes(), json.dumps(later).encode()]) == ["ok", "ok"]


def test_paths_are_judged_as_python_judges_them(library):
    document = json.loads(GOLDEN.read_text())
    paths = [
        *(
            "a.jpg",
            "a/b/c.jpg",
            "a b.jpg",
            ".a",
            "é/ü.jpg",
            "comet.jpg",
            "com10",
            "lpt.jpg",
            "nulls",
            "x" * 255,
            "a" * 256,
        ),
        *(
            "",
            ".",
            "..",
            "a/..",
            "./a",
            "a//b",
            "a/",
            "/a",
            "//a/b",
            "C:/a",
            "c:a",
            "a\\b",
            "a:b",
            "a?",
            "a*",
            'a"',
            "a|b",
        ),
        *("con", "Con.jpg", "a/NUL", "aux .txt", "com1", "LPT9.jpg", "com\u00b9.jpg", "conin$", "a.", "a ", "a/b./c"),
        *(
            "a\nb",
            "a\x7f",
            "a\x85b",
            "a\u2028b",
            "manifest.json",
            "Manifest.JSON",
            "signature.json",
            "results/a",
            "Results",
        ),
        *("onnx/model.fp32.onnx", "ONNX/model.fp32.onnx"),
    ]
    data = []
    for path in paths:
        document["selftest"][0]["file"]["path"] = path
        data.append(json.dumps(document).encode())
    found = [line == "ok" for line in answers(library, data)]
    assert dict(zip(paths, found, strict=True)) == dict(zip(paths, map(is_accepted, data), strict=True))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "damaged or not a manifest"),
        (b"{", "damaged or not a manifest"),
        (b"[" * 100_000, "damaged or not a manifest"),
        (b'{"schema_version": 1e999}', "damaged or not a manifest"),
        (b'{"schema_version": "\xff"}', "damaged or not a manifest"),
        (b'{"schema_version": NaN}', "damaged or not a manifest"),
        (b'{"schema_version": 2}', "schema 2 is newer than this library reads (1)"),
        (b'{"schema_version": 1}', "`manifest` lacks `name`"),
    ],
)
def test_what_is_no_manifest_is_named(library, data, words):
    (line,) = answers(library, [data])
    assert words in line
    assert len(line) < 1600


def test_altered_bytes_are_errors_or_manifests(library):
    rng = random.Random(2)
    whole = GOLDEN.read_bytes()
    data = [whole[: rng.randrange(len(whole))] for _ in range(100)]
    for _ in range(500):
        altered = bytearray(whole)
        for _ in range(rng.choice((1, 2, 10))):
            altered[rng.randrange(len(altered))] = rng.choice(
                (rng.randrange(256), ord('"'), ord("9"), ord("-"), ord("["))
            )
        data.append(bytes(altered))
    assert answers(library, data)[:100].count("ok") == 0
