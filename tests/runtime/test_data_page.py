"""docs/data.md: its table is read, and each split of its recipes is one that a reader takes."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgedistill.runtime.config import decode_tagged
from edgedistill.runtime.datasets import FORMATS, open_dataset
from edgedistill.runtime.yaml_text import parse_yaml

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
RECIPES = [parse_yaml(text)["data"] for kind, text in BLOCKS if kind == "yaml"]


def test_the_table_is_read(tmp_path):
    [table] = [text for kind, text in BLOCKS if kind == "csv"]
    (tmp_path / "train.csv").write_text(table, encoding="utf-8")
    for name in ("0001.jpg", "0002.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    data = open_dataset(tmp_path / "train.csv")
    assert data.classes == ("dog", "sofa")
    np.testing.assert_array_equal(data.labels, [[1, 1], [0, 0]])


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe["train"]["format"])
def test_each_split_is_one(recipe, tmp_path):
    splits = {name: said for name, said in recipe.items() if isinstance(said, dict)}
    assert {"train", "test"} <= set(splits)
    for name, said in splits.items():
        classes = {"classes": ["dog"]} if said["format"] == "folder" else {}  # those of the training images
        decode_tagged({**classes, **said}, FORMATS, tag="format", where="docs/data.md", prefix=f"data.{name}")


def test_all_formats_of_photographs_are_shown():
    assert {recipe["train"]["format"] for recipe in RECIPES} >= {"csv", "coco", "voc"}
