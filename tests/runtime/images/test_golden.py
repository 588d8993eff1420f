"""The golden images for other languages: the decoder holds to them, and so does the formula of docs/images.md."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgedistill.runtime.errors import DataError
from edgedistill.runtime.images import RULES
from edgedistill.runtime.preprocess import Preprocessing, load, open_image

FOLDER = Path(__file__).parents[3] / "docs" / "golden_images"
GOLDEN = json.loads((FOLDER / "golden.json").read_text(encoding="utf-8"))


def expected(case: dict, height: int, width: int) -> np.ndarray:
    return np.frombuffer(base64.b64decode(case["rgb"]), np.uint8).reshape(height, width, 3).astype(int)


def close(found: np.ndarray, wanted: np.ndarray, kind: str) -> bool:
    difference = np.abs(found - wanted)
    tolerance = GOLDEN["tolerances"][kind]
    return difference.max() <= tolerance["max"] and difference.mean() <= tolerance["mean"]


@pytest.mark.parametrize("case", GOLDEN["decoded"], ids=lambda case: case["file"])
def test_a_golden_image_is_decoded_to_its_pixels(case):
    found = np.asarray(open_image(FOLDER / case["file"]))
    assert close(found, expected(case, case["height"], case["width"]), case["kind"])


def name_of(case: dict) -> str:
    return f"{case['file']}-{case['size']}-{case['resize']}-{case['interpolation']}"


@pytest.mark.parametrize("case", GOLDEN["resized"], ids=name_of)
def test_a_golden_image_is_resized_to_its_pixels(case):
    preprocessing = Preprocessing(size=tuple(case["size"]), resize=case["resize"], interpolation=case["interpolation"])
    assert close(load(FOLDER / case["file"], preprocessing), expected(case, *case["size"]), "resized")


@pytest.mark.parametrize("case", GOLDEN["refused"], ids=lambda case: case["file"])
def test_what_is_to_be_refused_is_refused(case):
    with pytest.raises(DataError, match=case["file"]):
        open_image(FOLDER / case["file"])


def test_the_folder_is_complete_small_and_of_these_rules():
    images = {path.name for path in FOLDER.iterdir() if path.suffix not in (".json", ".py")}
    assert images == {case["file"] for case in (*GOLDEN["decoded"], *GOLDEN["refused"])}
    assert GOLDEN["rules"] == RULES, "run docs/golden_images/make.py"
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) < 300_000
    combinations = {(case["resize"], case["interpolation"]) for case in GOLDEN["resized"]}
    assert len(combinations) == 4


def kernel(name: str, x: float) -> float:
    x = abs(x)
    if name == "bilinear":
        return max(0.0, 1 - x)
    if x < 1:
        return (1.5 * x - 2.5) * x * x + 1
    return ((-0.5 * x + 2.5) * x - 4) * x + 2 if x < 2 else 0.0


def weights(name: str, stored: int, start: float, length: float, wanted: int) -> np.ndarray:
    """float64 (wanted, stored): docs/images.md, as it stands there."""
    step = length / wanted
    spread = max(step, 1.0)
    reach = spread * (1 if name == "bilinear" else 2)
    table = np.zeros((wanted, stored))
    for i in range(wanted):
        centre = start + (i + 0.5) * step
        for j in range(max(0, int(centre - reach + 0.5)), min(stored, int(centre + reach + 0.5))):
            table[i, j] = kernel(name, (j + 0.5 - centre) / spread)
        table[i] /= table[i].sum()
    return table


def by_formula(pixels: np.ndarray, case: dict) -> np.ndarray:
    (height, width), (wanted_height, wanted_width) = pixels.shape[:2], case["size"]
    box_width, box_height = float(width), float(height)
    if case["resize"] == "center_crop":
        box_width = min(width, height * wanted_width / wanted_height)
        box_height = min(height, width * wanted_height / wanted_width)
    across = weights(case["interpolation"], width, (width - box_width) / 2, box_width, wanted_width)
    down = weights(case["interpolation"], height, (height - box_height) / 2, box_height, wanted_height)
    rows = np.floor(np.einsum("xj,yjc->yxc", across, pixels) + 0.5).clip(0, 255)
    return np.floor(np.einsum("yi,ixc->yxc", down, rows) + 0.5).clip(0, 255).astype(int)


@pytest.mark.parametrize("case", GOLDEN["resized"], ids=name_of)
def test_the_published_formula_gives_the_golden_pixels(case):
    pixels = np.asarray(Image.open(FOLDER / case["file"])).astype(np.float64)
    assert close(by_formula(pixels, case), expected(case, *case["size"]), "resized")


OTHER_RESIZERS = {
    "without antialiasing": lambda image, size, _: image.transform(
        size, Image.Transform.AFFINE, _affine(image, size), 2
    ),
    "box": lambda image, size, _: image.resize(size, Image.Resampling.BOX),
    "the other filter": lambda image, size, name: image.resize(size, 3 if name == "bilinear" else 2),
    "crop to whole pixels first": lambda image, size, _: image.crop((1, 1, *image.size)).resize(size, 2),
    "in linear light": lambda image, size, _: image.point(SQUARES).resize(size, 2).point(ROOTS),
}
SQUARES = [round(level * level / 255) for level in range(256)] * 3
ROOTS = [round((level * 255) ** 0.5) for level in range(256)] * 3


def _affine(image: Image.Image, size: tuple[int, int]) -> tuple[float, ...]:
    return (image.width / size[0], 0, 0, 0, image.height / size[1], 0)


@pytest.mark.parametrize("other", OTHER_RESIZERS)
def test_another_resizer_is_told_apart(other):
    for case in GOLDEN["resized"]:
        if case["file"] == "photo_wide.png" and case["resize"] == "squash":
            image = Image.open(FOLDER / case["file"])
            found = np.asarray(OTHER_RESIZERS[other](image, (case["size"][1], case["size"][0]), case["interpolation"]))
            assert not close(found, expected(case, *case["size"]), "resized"), name_of(case)
