import json
import os
from pathlib import Path

import pytest

from edgedistill.runtime.batches import decode_batches
from edgedistill.runtime.datasets import open_dataset
from edgedistill.runtime.datasets.coco import CocoFormat
from edgedistill.runtime.errors import DataError
from edgedistill.runtime.preprocess import Preprocessing

INSTANCES = {
    "info": {"description": "made by a test"},
    "images": [
        {"id": 42, "file_name": "000000000042.jpg", "width": 4, "height": 3},
        {"id": 7, "file_name": "000000000007.jpg", "width": 4, "height": 3},
        {"id": 9, "file_name": "000000000009.jpg", "width": 4, "height": 3},
    ],
    "annotations": [
        {"id": 1, "image_id": 42, "category_id": 90, "bbox": [0, 0, 1, 1], "iscrowd": 0, "area": 1.0},
        {"id": 2, "image_id": 42, "category_id": 1, "iscrowd": 1, "segmentation": {"size": [3, 4], "counts": [12]}},
        {"id": 3, "image_id": 9, "category_id": 1, "iscrowd": 1},
        {"id": 4, "image_id": 9, "category_id": 1},
    ],
    "categories": [
        {"id": 90, "name": "toothbrush", "supercategory": "indoor"},
        {"id": 1, "name": "person", "supercategory": "person"},
    ],
}


@pytest.fixture
def root(tmp_path):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "val2017").mkdir()
    for image in INSTANCES["images"]:
        (tmp_path / "val2017" / image["file_name"]).touch()
    write(tmp_path, INSTANCES)
    return tmp_path


def write(root, content):
    text = content if isinstance(content, str) else json.dumps(content)
    (root / "annotations" / "instances_val2017.json").write_text(text)


def read(root, **options):
    return CocoFormat(annotations="annotations/instances_val2017.json", **options).read(root)


def test_classes_by_category_id_images_in_file_order(root):
    dataset = read(root)
    assert dataset.name == "instances_val2017"
    assert dataset.classes == ("person", "toothbrush")
    assert dataset.ids == ("000000000042.jpg", "000000000007.jpg", "000000000009.jpg")
    assert dataset.images[0] == root / "val2017" / "000000000042.jpg"
    assert dataset.labels.tolist() == [[1, 1], [0, 0], [1, 0]]


def test_a_class_of_crowd_regions_only_is_unknown_when_ignored(root):
    assert read(root, crowd="ignore").labels.tolist() == [[-1, 1], [0, 0], [1, 0]]


def test_images_without_annotations_are_dropped_on_request(root):
    dataset = read(root, empty="drop")
    assert dataset.ids == ("000000000042.jpg", "000000000009.jpg")
    assert dataset.labels.tolist() == [[1, 1], [1, 0]]


def test_images_option_replaces_the_official_folder(root):
    (root / "val2017").rename(root / "pictures")
    with pytest.raises(DataError, match="where are its images"):
        read(root)
    assert read(root, images="pictures").images[0].parent == root / "pictures"
    with pytest.raises(DataError, match="none of its 3 images exists"):
        read(root, images="annotations")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"categories": []}, "`categories` is empty"),
        ({"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}, "`categories` have the same id"),
        (
            {"categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]},
            "`categories`: the class 'a' is listed twice",
        ),
        ({"images": INSTANCES["images"] * 2}, "`images` have the same id"),
        ({"images": [{"id": 42, "file_name": "../x.jpg"}], "annotations": []}, "outside the image folder"),
        ({"annotations": [{"image_id": 8, "category_id": 1}]}, "annotation number 1 names image 8"),
        ({"images": [{"id": 1}]}, r"missing required field `file_name` - at `\$.images\[0\]`"),
        ({"images": []}, "annotation number 1 names image 42"),
    ],
)
def test_a_faulty_file_gives_one_clear_line(root, change, expected):
    write(root, {**INSTANCES, **change})
    with pytest.raises(DataError, match=expected):
        read(root)


def test_other_json_and_no_json(root):
    write(root, {"images": [], "categories": []})
    with pytest.raises(DataError, match=r"is not a COCO instances file: .*annotations"):
        read(root)
    write(root, '{"images": [')
    with pytest.raises(DataError, match="not valid JSON"):
        read(root)


@pytest.mark.skipif("EDGEDISTILL_COCO" not in os.environ, reason="EDGEDISTILL_COCO names no COCO folder")
@pytest.mark.parametrize("split", ["train2017", "val2017"])
def test_genuine_photographs(split):
    file = Path(os.environ["EDGEDISTILL_COCO"]) / "annotations" / f"instances_{split}.json"
    dataset = open_dataset(file)
    content = json.loads(file.read_text())
    assert len(dataset.classes) == 80
    assert (dataset.classes[0], dataset.classes[-1]) == ("person", "toothbrush")
    pairs = {(a["image_id"], a["category_id"]) for a in content["annotations"]}
    assert len(dataset) == len(content["images"])
    assert dataset.labels.sum() == len(pairs)
    batches = decode_batches(dataset.images[:20], Preprocessing(size=(64, 48)), 8)
    assert [batch.images.shape for batch in batches] == [(8, 64, 48, 3), (8, 64, 48, 3), (4, 64, 48, 3)]
    assert batches.skipped == []


def test_of_some_categories_the_others_annotations_are_not_read(root):
    dataset = read(root, categories=["toothbrush"])
    assert dataset.classes == ("toothbrush",)
    assert dataset.labels.tolist() == [[1], [0], [0]]
    assert read(root, categories=["toothbrush"], empty="drop").ids == ("000000000042.jpg",)
    both = read(root, categories=["toothbrush", "person"])
    assert both.classes == ("person", "toothbrush"), "in the file's order"
    with pytest.raises(DataError, match=r"`categories`: 'toothbrus' is not one of the 2 .* mean 'toothbrush'"):
        read(root, categories=["toothbrus"])
    with pytest.raises(DataError, match="`categories` is empty"):
        read(root, categories=[])
