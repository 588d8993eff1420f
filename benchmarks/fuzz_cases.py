"""What is spoiled, and what a spoiled thing is asked: each case is a folder and questions that must end in one line."""

import hashlib
import json
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from fuzz_mutations import spoil_bytes, spoil_json, spoil_zip

from edgedistill import runtime
from edgedistill.runtime.bundle import Bundle, open_bundle, read_runs
from edgedistill.runtime.errors import EdgedistillError
from edgedistill.runtime.targets import load_target

GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "bundle_schema_1"
_PHOTOGRAPH = GOLDEN / "selftest" / "red.jpg"
_MODEL_FILES = (
    GOLDEN / "onnx" / "model.fp32.onnx",
    GOLDEN / "openvino" / "model.fp32.xml",
    GOLDEN.parent / "ort" / "tiny.ort",
    GOLDEN.parent / "litert" / "tiny.tflite",
    GOLDEN.parent / "litert" / "convolutions.int8.tflite",
)
_LONGEST_LINE = 2000
_SAME = {"fp32": 1e-3, "bf16": 5e-2}  # of a probability

Answers = dict[str, Any]


class NotOneLineError(Exception):
    """A message that a person cannot read at a glance."""


def ask_bundle(path: Path) -> Answers:
    """The self-test's verdicts, the scores of every artifact that runs, the reference and the results."""
    answers: Answers = {}
    opened = _said(answers, "open", lambda: open_bundle(path))
    if opened is None:
        return answers
    report = _said(answers, "selftest", lambda: runtime.selftest(opened, threads=1))
    if report is not None:
        answers["verdicts"] = {artifact.name: artifact.verdict for artifact in report.artifacts}
    answers["scores"] = {}
    for artifact in opened.manifest.artifacts:
        scores = _said(answers, f"predict {artifact.name}", lambda name=artifact.name: _scores(opened, name))
        if scores is not None:
            answers["scores"][artifact.name] = (artifact.precision, scores.tolist())
    for reference in opened.manifest.references:
        _said(answers, "reference", lambda print_=reference.fingerprint: opened.reference_logits(print_))
    _said(answers, "results", lambda: read_runs(path))
    return answers


def _scores(opened: Bundle, name: str) -> np.ndarray:
    with runtime.load(opened, name=name, threads=1) as predictor:
        return predictor.scores(_PHOTOGRAPH)


def _said(answers: Answers, what: str, question: Callable[[], Any]) -> Any:
    """The answer, or None with the one line that was said instead."""
    try:
        return question()
    except EdgedistillError as error:
        line = str(error)
        if "\n" in line or len(line) > _LONGEST_LINE or not line.strip():
            raise NotOneLineError(f"{what}: {line[:200]!r}") from error
        answers.setdefault("said", {})[what] = line
        return None


def differs(answers: Answers, untampered: Answers) -> str:
    """What a spoiled bundle answers otherwise than the untampered one without a word; empty when nothing."""
    for name, (precision, scores) in answers.get("scores", {}).items():
        if answers.get("verdicts", {}).get(name) != "passed":
            continue  # the self-test says so
        _, expected = untampered["scores"].get(name, (precision, None))
        if expected is None:
            continue  # another name; its scores are held against the artifact of its backend and precision
        if len(scores[0]) != len(expected[0]) or np.abs(np.subtract(scores, expected)).max() > _SAME.get(
            precision, 1e-3
        ):
            return f"{name}: scores {scores}, untampered {expected}, self-test passed"
    return ""


# How each family spoils a copy of the golden bundle, or files beside it. All return the answers.


def manifest_case(folder: Path, rng: random.Random) -> Answers:
    root = _copy(folder)
    path = root / "manifest.json"
    path.write_bytes(spoil_json(path.read_bytes(), rng))
    return ask_bundle(root)


def archive_case(folder: Path, rng: random.Random) -> Answers:
    files = {p.relative_to(GOLDEN).as_posix(): p.read_bytes() for p in sorted(GOLDEN.rglob("*")) if p.is_file()}
    files = {name: data for name, data in files.items() if not name.startswith("results/")}
    path = folder / "bundle.zip"
    path.write_bytes(spoil_zip(files, rng))
    return ask_bundle(path)


def model_case(folder: Path, rng: random.Random) -> Answers:
    """A listed file is spoiled and its hash corrected, as an attacker or a broken exporter would."""
    root = _copy(folder)
    manifest = json.loads((root / "manifest.json").read_text())
    listed = [entry for artifact in manifest["artifacts"] for entry in artifact["files"]]
    listed += [golden["file"] for golden in manifest["selftest"]] + [one["file"] for one in manifest["references"]]
    chosen = rng.choice([entry["path"] for entry in listed])
    data = spoil_bytes((root / chosen).read_bytes(), rng)
    (root / chosen).write_bytes(data)
    for entry in listed:
        if entry["path"] == chosen:
            entry |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (root / "manifest.json").write_text(json.dumps(manifest))
    return ask_bundle(root)


def tampered_case(folder: Path, rng: random.Random) -> Answers:
    """A listed file is spoiled and its hash is not: never an answer from it."""
    root = _copy(folder)
    path = rng.choice([p for p in sorted(root.rglob("*")) if p.is_file()])
    path.write_bytes(
        spoil_json(path.read_bytes(), rng) if path.suffix == ".json" else spoil_bytes(path.read_bytes(), rng)
    )
    return ask_bundle(root)


def loose_case(folder: Path, rng: random.Random) -> Answers:
    """A model file without a bundle."""
    answers: Answers = {}
    source = rng.choice(_MODEL_FILES)
    path = folder / source.name
    path.write_bytes(spoil_bytes(source.read_bytes(), rng))
    if source.suffix == ".xml":
        shutil.copy(source.with_suffix(".bin"), folder)
    predictor = _said(answers, "load", lambda: runtime.load_file(path, threads=1))
    if predictor is not None:
        _said(answers, "predict", lambda: predictor.predict(_PHOTOGRAPH))
    return answers


def image_case(folder: Path, rng: random.Random) -> Answers:
    answers: Answers = {}
    sources = sorted((GOLDEN / "selftest").iterdir()) + sorted(_golden_images())
    source = rng.choice(sources)
    path = folder / source.name
    path.write_bytes(spoil_bytes(source.read_bytes(), rng))
    preprocessing = open_bundle(GOLDEN).manifest.preprocessing
    changed = msgspec.structs.replace(preprocessing, resize=rng.choice(("squash", "center_crop")))
    _said(answers, "load", lambda: runtime.preprocess.load(path, changed))
    return answers


def data_case(folder: Path, rng: random.Random) -> Answers:
    """A data set in CSV, COCO's JSON, VOC's XML or described in YAML; a deploy config."""
    answers: Answers = {}
    for name in ("a", "b", "c"):
        shutil.copy(_PHOTOGRAPH, folder / f"{name}.jpg")
    kind = rng.choice(("csv", "csv", "json", "xml", "yaml", "target"))
    if kind == "csv":
        text = rng.choice(
            (b"path,labels\na.jpg,cat;dog\nb.jpg,\nc.jpg,['cat']\n", b"path,cat,dog\na.jpg,1,0\nb.jpg,-1,1\n")
        )
        path = folder / "data.csv"
    elif kind == "json":
        text, path = json.dumps(_COCO).encode(), folder / "instances_x.json"
    elif kind == "xml":
        text, path = _VOC, folder / "VOC2007" / "Annotations" / "a.xml"
        (folder / "VOC2007" / "ImageSets" / "Main").mkdir(parents=True)
        (folder / "VOC2007" / "ImageSets" / "Main" / "test.txt").write_text("a\n")
        (folder / "VOC2007" / "JPEGImages").mkdir()
        shutil.copy(_PHOTOGRAPH, folder / "VOC2007" / "JPEGImages" / "a.jpg")
        path.parent.mkdir()
    else:
        text = b"format: csv\npath: data.csv\nclasses: [cat, dog]\n" if kind == "yaml" else _TARGET
        path = folder / f"{kind}.yaml"
        (folder / "data.csv").write_bytes(b"path,labels\na.jpg,cat;dog\n")
    path.write_bytes((spoil_json if kind == "json" else spoil_bytes)(text, rng))
    asked = folder / "VOC2007" if kind == "xml" else path
    images = {"images": folder} if kind == "json" else {}
    if kind == "target":
        _said(answers, "target", lambda: load_target(path))
    else:
        _said(answers, "data", lambda: runtime.open_dataset(asked, **images).fingerprint())
    return answers


FAMILIES: dict[str, Callable[[Path, random.Random], Answers]] = {
    "manifest": manifest_case,
    "archive": archive_case,
    "model": model_case,
    "tampered": tampered_case,
    "loose": loose_case,
    "image": image_case,
    "data": data_case,
}
BUNDLES = ("manifest", "archive", "model", "tampered")


def _copy(folder: Path) -> Path:
    return Path(shutil.copytree(GOLDEN, folder / "bundle"))


def _golden_images() -> list[Path]:
    folder = Path(__file__).parents[1] / "docs" / "golden_images"
    return (
        [path for path in folder.rglob("*") if path.suffix not in (".json", ".npy", ".npz", ".md", ".py")]
        if folder.is_dir()
        else []
    )


_COCO = {
    "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 3, "iscrowd": 0},
        {"id": 2, "image_id": 2, "category_id": 5},
    ],
    "categories": [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}],
}
_VOC = b"""<?xml version="1.0" encoding="UTF-8"?>
<annotation><filename>a.jpg</filename><object><name>cat</name><difficult>0</difficult></object>
<object><name>dog</name><difficult>1</difficult></object></annotation>"""
_TARGET = b"""backend: onnxruntime
precision: fp32
threads: 2
batch: {min: 1, typical: 1, max: 8}
gates: {max_map_drop: 0.1, confidence: 0.95, max_p95_ms: 20, max_bytes: 100000}
"""

if __name__ == "__main__":  # one case again, in the foreground: python benchmarks/fuzz_cases.py manifest 17
    import tempfile

    family, number = sys.argv[1], sys.argv[2]
    with tempfile.TemporaryDirectory() as scratch:
        print(FAMILIES[family](Path(scratch), random.Random(f"{family} {number}")))
