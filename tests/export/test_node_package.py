"""`app node`: Node.js gives the scores that Python gives, and refuses what Python refuses."""

import base64
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from npm import NODE, npm_packages
from PIL import Image

from edgedistill import __version__, runtime
from edgedistill.export.packages.javascript import npm_name
from edgedistill.export.packages.node import package_node

pytestmark = pytest.mark.slow  # npm brings its packages first, and a compiler checks the types

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs"
GOLDEN = DOCS / "golden_images"
# What sharp reads otherwise, or not at all: docs/web.md says so.
UNREAD = {"float.tif", "grey_16_bit.pgm", "icon.ico", "rgb.bmp"}
OTHERWISE = {"smaller_than_its_canvas.gif"}


@pytest.fixture(scope="module")
def modules() -> Path:
    return npm_packages("onnxruntime-node@1.30.0", "sharp@0.35.5")


@pytest.fixture
def make(modules, tmp_path) -> Callable[..., Path]:
    def made(bundle: runtime.Bundle, **options: object) -> Path:
        folder = package_node(bundle, tmp_path / "app", **options)
        (folder / "node_modules").symlink_to(modules)
        return folder

    return made


def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(NODE), *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120, cwd=cwd
    )


def photographs(bundle: Path, folder: Path) -> list[Path]:
    """The golden ones, and one of each kind that tells decoders apart."""
    rng = np.random.default_rng(3)
    rgba = rng.integers(0, 256, (37, 51, 4)).astype(np.uint8)
    Image.fromarray(rgba).save(folder / "alpha.png")
    smooth = Image.fromarray(rng.integers(0, 256, (9, 7, 3)).astype(np.uint8)).resize((91, 130))
    exif = Image.Exif()
    exif[0x0112] = 6
    smooth.save(folder / "turned.jpg", exif=exif, quality=80)  # 4:2:0
    smooth.convert("L").save(folder / "grey.png")
    return [*sorted((bundle / "selftest").iterdir()), *sorted(folder.iterdir())]


def scores(folder: Path, artifact: str, files: list[Path]) -> list[dict]:
    done = run(HERE / "javascript" / "scores.mjs", folder, artifact, *files)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("temperature", [None, 1.7])
def test_labels_and_scores_are_pythons(tiny_bundle, make, tmp_path, at_operating_point, temperature):
    bundle = runtime.open_bundle(tiny_bundle)
    if temperature:
        held = at_operating_point(bundle, "ort-fp32", temperature, (0.9, 0.1, 0.3, 0.55))
        bundle = runtime.Bundle(bundle.storage, held.manifest, msgspec.json.encode(held.manifest))
    folder = make(bundle)
    (tmp_path / "images").mkdir()
    files = photographs(tiny_bundle, tmp_path / "images")
    with runtime.load(folder / "bundle", name="ort-fp32") as predictor:
        for expected, found in zip(predictor.predict(files), scores(folder, "ort-fp32", files), strict=True):
            assert np.abs(expected.probabilities - np.array(found["probabilities"])).max() < 1e-6, expected.source
            assert [one["label"] for one in found["labels"]] == list(expected.labels), expected.source


def test_a_graph_without_normalisation_gets_it(golden_copy, make, tmp_path):
    onnx = pytest.importorskip("onnx")
    graph = onnx.parser.parse_model("""
        <ir_version: 9, opset_import: ["": 17]>
        g (float[batch, 3, 16, 16] image) => (float[batch, 3] logits, float[batch, 3] probabilities) {
            logits = ReduceMean <axes = [2, 3], keepdims = 0> (image)
            probabilities = Sigmoid (logits)
        }""")
    data = graph.SerializeToString()

    def change(manifest: dict) -> None:
        manifest["input"] = "float32_nchw"
        manifest["inputs"] = [{"name": "image", "dtype": "float32", "shape": ["batch", 3, 16, 16]}]
        manifest["classes"], manifest["thresholds"] = ["red", "green", "blue"], [0.5] * 3
        for output in manifest["outputs"]:
            output["shape"] = ["batch", 3]
        manifest["preprocessing"].update(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225], resize="center_crop")
        entry = {"path": "onnx/model.fp32.onnx", "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        manifest["artifacts"] = [{**manifest["artifacts"][0], "files": [entry]}]
        manifest["selftest"], manifest["references"] = [], []

    root = golden_copy(tmp_path / "b", change)
    (root / "onnx" / "model.fp32.onnx").write_bytes(data)
    folder = make(runtime.open_bundle(root))
    files = sorted((root / "selftest").glob("*.jpg"))
    with runtime.load(root) as predictor:
        expected = predictor.scores(files)
    found = [one["probabilities"] for one in scores(folder, "ort-fp32", files)]
    assert np.abs(expected - np.array(found)).max() < 1e-6


def test_weights_in_another_file_are_used_if_they_are_listed(golden_copy, make, tmp_path):
    onnx = pytest.importorskip("onnx")
    root = golden_copy(tmp_path / "b")
    graph = root / "onnx" / "model.fp32.onnx"
    onnx.save(onnx.load(graph), graph, save_as_external_data=True, location="weights.bin", size_threshold=70)
    manifest = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
    for names in (["onnx/model.fp32.onnx", "onnx/weights.bin"], ["onnx/model.fp32.onnx"]):
        data = {name: (root / name).read_bytes() for name in names}
        manifest["artifacts"][0]["files"] = [
            {"path": name, "sha256": hashlib.sha256(of).hexdigest(), "bytes": len(of)} for name, of in data.items()
        ]
        (root / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        shutil.rmtree(tmp_path / "app", ignore_errors=True)
        done = run("selftest.mjs", cwd=make(runtime.open_bundle(root)))
        if len(names) == 2:
            assert done.stdout.startswith("ort-fp32: passed: "), done.stderr
        else:
            assert done.stderr.startswith("error: onnx/model.fp32.onnx: onnxruntime cannot load it: ")


def test_the_examples_run_and_say_what_is_wrong(tiny_bundle, make):
    folder = make(runtime.open_bundle(tiny_bundle))
    assert run("selftest.mjs", cwd=folder).stdout.startswith("ort-fp32: passed: ")
    done = run("label.mjs", folder / "bundle/selftest/red.jpg", cwd=folder)
    assert json.loads(done.stdout)["labels"][0]["label"] == "red"
    done = run("label.mjs", "none.jpg", cwd=folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: none.jpg: cannot be decoded (ENOENT")
    assert done.stderr.count("\n") == 1


def test_any_name_is_taken_as_it_is(golden_copy, make, tmp_path):
    hostile = """a "b' ${1} \\ {{name}} `c`"""

    def change(manifest: dict) -> None:
        manifest["name"] = manifest["artifacts"][0]["name"] = hostile

    folder = make(runtime.open_bundle(golden_copy(tmp_path / "b", change)))
    assert run("selftest.mjs", cwd=folder).stdout.startswith(f"{hostile}: passed: ")
    assert '"label":"red"' in run("label.mjs", "bundle/selftest/red.jpg", cwd=folder).stdout
    assert json.loads((folder / "package.json").read_text(encoding="utf-8"))["name"] == "a-b-1-name-c"


def test_the_module_says_whose_it_is(tiny_bundle, tmp_path):
    module = package_node(runtime.open_bundle(tiny_bundle), tmp_path / "app") / "edgedistill"
    facts = json.loads((module / "package.json").read_text(encoding="utf-8"))
    assert (facts["version"], facts["license"]) == (__version__, "Apache-2.0")
    assert (module / "LICENSE").read_bytes() == (DOCS.parent / "LICENSE").read_bytes()


def alter(path: Path) -> None:
    path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("onnx/model.fp32.onnx", alter, "onnx/model.fp32.onnx: its SHA-256 differs from the manifest's"),
        ("onnx/model.fp32.onnx", lambda path: path.write_bytes(b"1"), "has 1 bytes, the manifest lists 521: truncated"),
        ("onnx/model.fp32.onnx", Path.unlink, "A folder may hold fewer artifacts than its manifest lists"),
        ("manifest.json", lambda path: path.write_bytes(path.read_bytes()[:-9]), "manifest.json: damaged or truncated"),
        (
            "manifest.json",
            lambda path: path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 2')),
            "manifest.json: schema 2 is newer than this module reads (1)",
        ),
        (
            "manifest.json",
            lambda path: path.write_text(path.read_text().replace('"onnx/model', '"../onnx/model')),
            "names a file outside of the bundle",
        ),
    ],
)
def test_what_is_not_the_bundle_is_refused(tiny_bundle, make, name, change, words):
    folder = make(runtime.open_bundle(tiny_bundle))
    change(folder / "bundle" / name)
    done = run("label.mjs", folder / "bundle/selftest/red.jpg", cwd=folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_sharp_decodes_to_the_golden_pixels(make, tiny_bundle):
    folder = make(runtime.open_bundle(tiny_bundle))
    done = run(HERE / "javascript" / "decode_cases.mjs", folder / "edgedistill", GOLDEN)
    assert done.returncode == 0, done.stderr
    found, golden = json.loads(done.stdout), json.loads((GOLDEN / "golden.json").read_text(encoding="utf-8"))
    unread, otherwise = set(), set()
    for case in golden["decoded"]:
        one = found[case["file"]]
        if "error" in one:
            unread.add(case["file"])
        elif one["rgb"] != case["rgb"]:
            difference = np.frombuffer(base64.b64decode(one["rgb"]), np.uint8).astype(int)
            difference = np.abs(difference - np.frombuffer(base64.b64decode(case["rgb"]), np.uint8))
            allowed = golden["tolerances"][case["kind"]]
            if case["file"] in OTHERWISE or difference.max() > allowed["max"]:
                otherwise.add(case["file"])
    assert (unread, otherwise) == (UNREAD, OTHERWISE)
    assert all("error" in found[case["file"]] for case in golden["refused"])


def test_types_hold(make, tiny_bundle, tmp_path):
    folder = make(runtime.open_bundle(tiny_bundle))
    types = npm_packages("typescript@5.9.3", "onnxruntime-web@1.30.0", "onnxruntime-node@1.30.0")
    (folder / "node_modules").unlink()
    (folder / "node_modules").symlink_to(types)
    shutil.copy(HERE / "javascript" / "typed.ts", folder)
    options = (
        "--noEmit",
        "--strict",
        "--module",
        "nodenext",
        "--target",
        "es2022",
        "--lib",
        "es2022,dom",
        "--skipLibCheck",
    )
    done = run(types / "typescript" / "bin" / "tsc", *options, "typed.ts", cwd=folder)
    assert done.returncode == 0, done.stdout


def test_names_that_npm_takes():
    assert [npm_name(name) for name in ("tiny", "My Model (v2)", "花", "../x")] == [
        "tiny",
        "my-model-v2",
        "bundle",
        "x",
    ]
