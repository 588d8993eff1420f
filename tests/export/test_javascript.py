"""The JavaScript module without onnxruntime: its pixels are Pillow's, and what it refuses."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image

from edgedistill.export.packages.template import TEMPLATES
from edgedistill.runtime.preprocess import Preprocessing, load, open_image, resize

MODULE = TEMPLATES / "javascript"
SCRIPTS = Path(__file__).parent / "javascript"
GOLDEN = Path(__file__).parents[2] / "docs" / "golden_images"
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
