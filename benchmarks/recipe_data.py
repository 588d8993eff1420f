"""A few synthetic photographs in the layouts of the papers' data sets, for trials of their recipes."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from edgedistill.runtime.datasets.voc import VOC_CLASSES

IMAGES = 8  # of each split
_OF_A_CLASS = 3  # images, so few that each sub-task of CPSD has some without it
_SIZE = (500, 375)
_PATTERNS = list(itertools.combinations(range(IMAGES), _OF_A_CLASS))


def write_data(root: Path) -> dict[str, str]:
    """Write all three below `root`; returns the variables by which the recipes find them."""
    variables = {"VOC2007": root / "voc", "COCO2014": root / "coco", "NUSWIDE": root / "nus"}
    _voc(variables["VOC2007"])
    _coco(variables["COCO2014"])
    _nuswide(variables["NUSWIDE"])
    return {name: str(path) for name, path in variables.items()}


def _labels(classes: int) -> np.ndarray:
    """bool (IMAGES, classes): every class is in as many images, in as many different ways as there are."""
    labels = np.zeros((IMAGES, classes), bool)
    order = np.random.default_rng(0).permutation(len(_PATTERNS))
    for column in range(classes):
        labels[list(_PATTERNS[order[column % len(order)]]), column] = True
    return labels


def _photograph(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    digits = [ord(letter) for letter in str(path)[-24:]]
    coarse = np.random.default_rng(digits).integers(0, 256, (12, 16, 3), np.uint8)
    Image.fromarray(coarse).resize(_SIZE, Image.Resampling.BICUBIC).save(path)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _lines(words: Sequence[object]) -> str:
    return "".join(f"{word}\n" for word in words)


def _voc(root: Path) -> None:
    labels = _labels(len(VOC_CLASSES))
    for split, first in (("trainval", 1), ("test", 101)):
        names = [f"{first + row:06d}" for row in range(IMAGES)]
        _write(root / "ImageSets" / "Main" / f"{split}.txt", _lines(names))
        for name, row in zip(names, labels, strict=True):
            present = [label for label, there in zip(VOC_CLASSES, row, strict=True) if there]
            objects = "".join(f"<object><name>{one}</name><difficult>0</difficult></object>" for one in present)
            _write(root / "Annotations" / f"{name}.xml", f"<annotation>{objects}</annotation>")
            _photograph(root / "JPEGImages" / f"{name}.jpg")


def _coco(root: Path) -> None:
    labels = _labels(80)
    for split, first in (("train2014", 1), ("val2014", 101)):
        files = {first + row: f"COCO_{split}_{first + row:012d}.jpg" for row in range(IMAGES)}
        content = {
            "images": [{"id": number, "file_name": name} for number, name in files.items()],
            "categories": [{"id": number, "name": f"category {number}"} for number in range(1, 81)],
            "annotations": [
                {"image_id": first + int(row), "category_id": 1 + int(column)} for row, column in np.argwhere(labels)
            ],
        }
        _write(root / "annotations" / f"instances_{split}.json", json.dumps(content))
        for name in files.values():
            _photograph(root / split / name)


def _nuswide(root: Path) -> None:
    concepts = [f"concept{number}" for number in range(81)]
    _write(root / "ConceptsList" / "Concepts81.txt", _lines(concepts))
    labels = _labels(len(concepts)).astype(int)
    for part, first in (("Train", 1), ("Test", 101)):
        names = [f"{first + row:04d}_{first + row}.jpg" for row in range(IMAGES)]
        _write(root / "ImageList" / f"{part}Imagelist.txt", _lines([f"actor\\{name}" for name in names]))
        for concept, column in zip(concepts, labels.T, strict=True):
            _write(root / "Groundtruth" / "TrainTestLabels" / f"Labels_{concept}_{part}.txt", _lines(column))
        for name in names:
            _photograph(root / "Flickr" / "actor" / name)
