"""The JavaScript module without onnxruntime: its pixels and limits are Python's, and it refuses what Python does."""

import copy
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image

from edgedistill.export.packages.template import TEMPLATES
from edgedistill.runtime.bundle.manifest import decode_manifest
from edgedistill.runtime.errors import BundleError
from edgedistill.runtime.precisions import precision_of
from edgedistill.runtime.preprocess import Preprocessing, load, open_image, resize

MODULE = TEMPLATES / "javascript"
SCRIPTS = Path(__file__).parent / "javascript"
GOLDEN = Path(__file__).parents[2] / "docs" / "golden_images"
GOLDEN_BUNDLE = Path(__file__).parents[1] / "golden" / "bundle_schema_1"
NODE = shutil.which("node")
TALL_FIRST = int(PIL.__version__.split(".")[0]) >= 13  # Pillow takes tall images down first from then on

pytestmark = pytest.mark.skipif(NODE is None, reason="no Node.js here: install the package `nodejs`")


def node(script: str, *arguments: object) -> str:
    done = subprocess.run(
        [str(NODE), SCRIPTS / script, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def resized_by_javascript(folder: Path, cases: list[tuple[np.ndarray, Preprocessing]]) -> list[np.ndarray]:
    described = [
        {
            "height": pixels.shape[0],
            "width": pixels.shape[1],
            "channels": pixels.shape[2],
            "size": list(one.size),
            "resize": one.resize,
            "interpolation": one.interpolation,
        }
        for pixels, one in cases
    ]
    (folder / "cases.json").write_text(json.dumps(described))
    (folder / "in.bin").write_bytes(b"".join(pixels.tobytes() for pixels, _ in cases))
    node("resize_cases.mjs", MODULE, folder)
    found, place = [], 0
    data = np.fromfile(folder / "out.bin", np.uint8)
    for _, one in cases:
        shape = (*one.size, 3)
        found.append(data[place : place + np.prod(shape)].reshape(shape))
        place += found[-1].size
    assert place == len(data)
    return found


def tall(pixels: np.ndarray, one: Preprocessing) -> bool:
    (height, width), (wanted, wanted_width) = pixels.shape[:2], one.size
    return height > wanted and height - wanted > 2 * (width - wanted_width)


def test_every_size_is_resized_to_pillows_pixels(tmp_path):
    rng = np.random.default_rng(0)
    cases = []
    for number in range(600):
        size = tuple(int(side) for side in rng.integers(1, 64, 2))
        if number % 3 == 0:  # black and white is what overshoots
            pixels = rng.integers(0, 2, (*rng.integers(1, 200, 2), 3)) * 255
        else:
            pixels = rng.integers(0, 256, (*rng.integers(1, 200, 2), 3))
        one = Preprocessing(
            size=size,
            resize=("squash", "center_crop")[number % 2],
            interpolation=("bilinear", "bicubic")[number // 2 % 2],
        )
        cases.append((pixels.astype(np.uint8), one))
    for shape in ((480, 640, 3), (640, 480, 3), (1200, 301, 3), (225, 224, 3), (224, 3, 3)):
        pixels = rng.integers(0, 256, shape).astype(np.uint8)
        crop = Preprocessing(size=(224, 224), resize="center_crop", interpolation="bicubic")
        cases += [(pixels, Preprocessing(size=(224, 224))), (pixels, crop)]
    for (pixels, one), found in zip(cases, resized_by_javascript(tmp_path, cases), strict=True):
        if TALL_FIRST or not tall(pixels, one):
            assert np.array_equal(found, resize(Image.fromarray(pixels), one)), (pixels.shape, one)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_grey_and_alpha_are_pythons(tmp_path, channels):
    rng = np.random.default_rng(channels)
    pixels = rng.integers(0, 256, (40, 50, channels)).astype(np.uint8)
    pixels[:4, :4, -1], pixels[4:8, :4, -1] = 0, 255
    mode = {1: "L", 2: "LA", 4: "RGBA"}[channels]
    image = Image.frombytes(mode, (50, 40), pixels.tobytes())
    one = Preprocessing(size=(40, 50))
    (found,) = resized_by_javascript(tmp_path, [(pixels, one)])
    assert np.array_equal(found, np.asarray(open_image(image)))


def test_the_golden_images_are_resized_to_their_pixels(tmp_path):
    golden = json.loads((GOLDEN / "golden.json").read_text(encoding="utf-8"))["resized"]
    cases = []
    for case in golden:
        one = Preprocessing(size=tuple(case["size"]), resize=case["resize"], interpolation=case["interpolation"])
        cases.append((np.asarray(open_image(GOLDEN / case["file"])), one))
    for case, (_, one), found in zip(golden, cases, resized_by_javascript(tmp_path, cases), strict=True):
        wanted = load(GOLDEN / case["file"], one)
        most = 0 if TALL_FIRST else 1
        assert np.abs(found.astype(int) - wanted).max() <= most, case["file"]


def test_the_selftest_allows_what_pythons_does(tmp_path):
    rng = np.random.default_rng(0)
    cases, expected = [], []
    for spread in (0.1, 8.0, 60.0):
        logits = rng.normal(0, spread, (3, 4))
        for name in ("fp32", "fp16", "bf16", "int8"):
            row = precision_of(name)
            for largest in (None, 0.0, 1e-5, 0.02, 0.4, 5.0):
                for mean in {None, largest and largest / 3}:
                    parity = None if largest is None else {"max_abs_logit": largest, "golden_mean_abs_logit": mean}
                    cases.append({"precision": name, "parity": parity, "logits": logits.tolist()})
                    expected.append((row.shipped(logits, largest), row.shipped_mean(logits, mean)))
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    found = json.loads(node("limits.mjs", MODULE, tmp_path / "cases.json"))
    for case, wanted, got in zip(cases, expected, found, strict=True):
        assert got["largest"] == pytest.approx(wanted[0], rel=1e-12), case
        assert got["mean"] == (None if wanted[1] is None else pytest.approx(wanted[1], rel=1e-12)), case


DAMAGE = {
    "schema_version": [0, "1", 2],
    "classes": [[], ["red", "", "blue", "bright"], "red"],
    "thresholds": [[0.5], [0.5, 2, 0.5, 0.5], None],
    "input": ["rgb"],
    "preprocessing.size": [[0, 16], [16], [16.5, 16]],
    "preprocessing.resize": ["stretch"],
    "preprocessing.interpolation": ["lanczos"],
    "preprocessing.mean": [[0, 0]],
    "preprocessing.std": [[1, 0, 1]],
    "inputs": [[]],
    "outputs": [[]],
    "artifacts.0.files.0.path": ["../x", "/x", "a//x", "C:x", "a\\x", ""],
    "artifacts.0.files.0.sha256": ["0", "A" * 64],
    "artifacts.0.files.0.bytes": [-1, 1.5],
    "artifacts.0.target.batch": [{"min": 1, "typical": 1, "max": 0}, {"min": 0, "typical": 1, "max": 2}],
    "artifacts.0.operating_point": [{"thresholds": [0.5], "temperature": 1}],
    "selftest.0.logits": [[1.0]],
    "selftest.0.file.path": ["../x"],
}


def test_a_damaged_manifest_is_refused_as_python_refuses_it(tmp_path):
    whole = json.loads((GOLDEN_BUNDLE / "manifest.json").read_text(encoding="utf-8"))
    cases, what = [whole], ["nothing"]
    for key, values in DAMAGE.items():
        for value in values:
            damaged = copy.deepcopy(whole)
            *way, last = (int(part) if part.isdecimal() else part for part in key.split("."))
            place = damaged
            for part in way:
                place = place[part]
            place[last] = value
            cases.append(damaged)
            what.append(f"{key} = {value!r}")
            with pytest.raises(BundleError):
                decode_manifest(json.dumps(damaged).encode(), "here")
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    said = dict(zip(what, json.loads(node("manifests.mjs", MODULE, tmp_path / "cases.json")), strict=True))
    assert said.pop("nothing") is None
    assert {name: one for name, one in said.items() if not (one or "").startswith("EdgedistillError: here: ")} == {}


def test_a_model_is_released_when_it_has_computed():
    happened = json.loads(node("release.mjs", MODULE, GOLDEN_BUNDLE))
    assert happened == ["computed", "computed", "freed", 6, "EdgedistillError: ort-fp32: was released: load it anew."]


def test_a_place_without_a_bundle_is_told(tmp_path):
    (tmp_path / "bundle.zip").touch()
    for place in ("bundle.zip", "none"):
        said = node("open.mjs", MODULE, tmp_path / place)
        assert said.startswith(f"EdgedistillError: {tmp_path / place / 'manifest.json'}: cannot be read (")
        assert said.endswith("Give the folder of a bundle; a .zip must be unpacked first.\n")


@pytest.mark.parametrize("name", ["index", "node"])
def test_the_types_name_what_is_there(name):
    declared = "".join((MODULE / f"{one}.d.ts").read_text(encoding="utf-8") for one in {"index", name})
    names = re.findall(r"^export (?:class|const|function) (\w+)", declared, re.MULTILINE)
    assert set(json.loads(node("names.mjs", MODULE / f"{name}.js"))) == set(names)
