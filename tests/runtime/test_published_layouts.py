"""Each published data set as its archives unpack, written by the tests with real JPEG files, and what it means."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgedistill.runtime.batches import decode_batches
from edgedistill.runtime.datasets import open_dataset
from edgedistill.runtime.datasets.coco import CocoFormat
from edgedistill.runtime.datasets.nuswide import NusWideFormat
from edgedistill.runtime.datasets.voc import VOC_CLASSES, VocFormat
from edgedistill.runtime.errors import DataError
from edgedistill.runtime.preprocess import Preprocessing


def write_jpeg(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 7), (200, 30, len(path.name))).save(path)


def decodes(dataset):
    batches = decode_batches(dataset.images, Preprocessing(size=(8, 8)), 4, ids=dataset.ids)
    return sum(len(batch.indices) for batch in batches) == len(dataset) and not batches.skipped


# VOC: (class, difficult) of each object, by split and image.
VOC = {
    "trainval": {"000005": [("chair", 0), ("chair", 1)], "000007": [("car", 0)], "000009": [("person", 1)]},
    "test": {"000001": [("dog", 0), ("person", 1), ("person", 1)], "000002": [("train", 0)], "000003": [("sofa", 1)]},
}
XML = """<annotation>
	<folder>{year}</folder>
	<filename>{name}.jpg</filename>
	<source><database>The VOC Database</database><annotation>PASCAL {year}</annotation><image>flickr</image></source>
	<owner><flickrid>Fried Camels</flickrid><name>Jinky the Fruit Bat</name></owner>
	<size><width>9</width><height>7</height><depth>3</depth></size>
	<segmented>0</segmented>
{objects}</annotation>
"""
OBJECT = """	<object>
		<name>{label}</name>
		<pose>Unspecified</pose>
		<truncated>0</truncated>
		<difficult>{difficult}</difficult>
		<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>8</xmax><ymax>6</ymax></bndbox>
	</object>
"""


def official_mark(objects, label):
    """What the official <class>_<split>.txt says: 1 present, 0 difficult objects only, -1 absent."""
    marks = [difficult for name, difficult in objects if name == label]
    return -1 if not marks else 0 if all(marks) else 1


def write_voc(folder, year, content):
    root = folder / "VOCdevkit" / year
    for split, images in content.items():
        lists = {split: "".join(f"{name}\n" for name in images)}
        for label in VOC_CLASSES:
            lines = [f"{name} {official_mark(objects, label):2d}\n" for name, objects in images.items()]
            lists[f"{label}_{split}"] = "".join(lines)
        for name, text in lists.items():
            path = root / "ImageSets" / "Main" / f"{name}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (root / "Annotations").mkdir(exist_ok=True)
        for name, objects in images.items():
            write_jpeg(root / "JPEGImages" / f"{name}.jpg")
            found = "".join(OBJECT.format(label=label, difficult=difficult) for label, difficult in objects)
            (root / "Annotations" / f"{name}.xml").write_text(XML.format(year=year, name=name, objects=found))
    return root


@pytest.mark.parametrize("split", ["trainval", "test"])
def test_voc_says_what_the_official_class_lists_say(tmp_path, split):
    root = write_voc(tmp_path, "VOC2007", VOC)
    dataset = VocFormat(root=str(root), split=split, difficult="ignore").read(tmp_path)
    for label, column, difficult in zip(VOC_CLASSES, dataset.labels.T, dataset.difficult.T, strict=True):
        lines = (root / "ImageSets" / "Main" / f"{label}_{split}.txt").read_text().splitlines()
        official = dict(line.split() for line in lines)
        assert column.tolist() == [{"1": 1, "0": -1, "-1": 0}[official[name]] for name in dataset.ids]
        assert difficult.tolist() == [official[name] == "0" for name in dataset.ids]
    assert decodes(dataset)


def test_voc_is_found_where_its_archives_unpack(tmp_path):
    root = write_voc(tmp_path, "VOC2012", {"train": VOC["trainval"], "val": VOC["test"]})
    for folder in (tmp_path, tmp_path / "VOCdevkit", root):
        assert VocFormat(root=str(folder), split="val").read(tmp_path).ids == tuple(VOC["test"])
        assert open_dataset(folder).name == "VOC2012 val"
    with pytest.raises(DataError, match=r"Main/test\.txt: no such file; the splits here: train, val"):
        VocFormat(root=str(root), split="test").read(tmp_path)
    write_voc(tmp_path, "VOC2007", VOC)
    with pytest.raises(DataError, match=r"several years \(VOCdevkit/VOC2007, VOCdevkit/VOC2012\)"):
        open_dataset(tmp_path)
    with pytest.raises(DataError, match="nowhere: no such folder; `root` is the folder of a VOC year"):
        VocFormat(root="nowhere", split="test").read(tmp_path)
    with pytest.raises(DataError, match="JPEGImages: holds no Annotations/"):
        VocFormat(root=str(root / "JPEGImages"), split="test").read(tmp_path)


@pytest.mark.parametrize("difficult", ["positive", "ignore", "negative"])
def test_difficult_marks_outlive_what_the_labels_make_of_them(tmp_path, difficult):
    write_voc(tmp_path, "VOC2007", VOC)
    dataset = VocFormat(root=".", split="test", difficult=difficult).read(tmp_path)
    assert dataset.difficult.any(axis=1).tolist() == [True, False, True]
    assert dataset.difficult.sum() == 2
    part = dataset.subset([2, 0])
    assert part.difficult.any(axis=1).tolist() == [True, True]
    turned = part.with_classes(VOC_CLASSES[::-1])
    np.testing.assert_array_equal(turned.difficult, part.difficult[:, ::-1])
    kept = part.only_classes([VOC_CLASSES.index("person"), VOC_CLASSES.index("cat")])
    assert kept.difficult.tolist() == [[False, False], [True, False]]


# The ids that COCO's 80 categories have: 1 to 90 with ten gaps.
COCO_GAPS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
COCO_IDS = [number for number in range(1, 91) if number not in COCO_GAPS]


def write_coco(root, split):
    """`split` e.g. val2014; three images, the last without annotations, listed as COCO lists them."""
    prefix = f"COCO_{split}_" if split.endswith("2014") else ""
    images = [
        {
            "license": 3,
            "file_name": f"{prefix}{number:012d}.jpg",
            "coco_url": f"http://images.cocodataset.org/{split}/{prefix}{number:012d}.jpg",
            "height": 7,
            "width": 9,
            "date_captured": "2013-11-14 11:18:45",
            "flickr_url": "http://farm9.staticflickr.com/x_z.jpg",
            "id": number,
        }
        for number in (397133, 37777, 252219)
    ]
    box = {"segmentation": [[1, 1, 8, 1, 8, 6]], "area": 35.0, "bbox": [1, 1, 7, 5]}
    run_lengths = {"segmentation": {"counts": [3, 60], "size": [7, 9]}, "area": 60, "bbox": [0, 0, 9, 7]}
    annotations = [
        {**box, "iscrowd": 0, "image_id": 397133, "category_id": 90, "id": 1},
        {**box, "iscrowd": 0, "image_id": 397133, "category_id": 13, "id": 2},
        {**box, "iscrowd": 0, "image_id": 397133, "category_id": 13, "id": 3},
        {**run_lengths, "iscrowd": 1, "image_id": 37777, "category_id": 1, "id": 900100037777},
    ]
    categories = [{"supercategory": "thing", "id": number, "name": f"name {number}"} for number in COCO_IDS]
    content = {"info": {"year": 2014}, "licenses": [{"id": 3}], "images": images, "annotations": annotations}
    (root / "annotations").mkdir(exist_ok=True)
    file = root / "annotations" / f"instances_{split}.json"
    file.write_text(json.dumps({**content, "categories": categories}))
    return file, [image["file_name"] for image in images]


@pytest.mark.parametrize("split", ["train2014", "val2014", "train2017", "val2017"])
@pytest.mark.parametrize("pictures", [".", "images"])
def test_coco_in_the_official_layout(tmp_path, split, pictures):
    file, names = write_coco(tmp_path, split)
    for name in names:
        write_jpeg(tmp_path / pictures / split / name)
    dataset = open_dataset(file)
    assert dataset.ids == tuple(names)
    assert len(dataset.classes) == 80
    assert dataset.classes[11] == "name 13"  # the twelfth category: id 12 is a gap
    assert [np.flatnonzero(row).tolist() for row in dataset.labels] == [[11, 79], [0], []]
    assert dataset.difficult is None
    assert decodes(dataset)
    options = {"annotations": str(file), "empty": "drop"}
    assert CocoFormat(**options).read(tmp_path).ids == tuple(names[:2])
    assert CocoFormat(**options, crowd="ignore").read(tmp_path).labels[1, 0] == -1


@pytest.mark.skipif("EDGEDISTILL_COCO" not in os.environ, reason="EDGEDISTILL_COCO names no COCO folder")
@pytest.mark.parametrize("split", ["train2017", "val2017"])
def test_the_genuine_categories_have_the_gaps(split):
    file = Path(os.environ["EDGEDISTILL_COCO"]) / "annotations" / f"instances_{split}.json"
    content = json.loads(file.read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    assert sorted(names) == COCO_IDS
    kept, dropped = (CocoFormat(annotations=str(file), empty=empty).read(file) for empty in ("keep", "drop"))
    assert kept.classes == tuple(names[number] for number in COCO_IDS)
    annotated = {annotation["image_id"] for annotation in content["annotations"]}
    assert (len(kept), len(dropped)) == (len(content["images"]), len(annotated))


CONCEPTS = ("airport", "lake", "zebra")
NUS = {
    "Train": {r"actor\0001_2124494179.jpg": (1, 0, 0), r"zoo\0002_5.jpg": (0, 0, 0)},
    "Test": {r"actor\0003_174174086.jpg": (0, 1, 1), r"zoo\0004_6.jpg": (0, 0, 1)},
}
OFFICIAL = {"concepts": "ConceptsList", "lists": "ImageList", "labels": "Groundtruth/TrainTestLabels"}
UNZIPPED = {
    "concepts": "ConceptsList/ConceptsList",
    "lists": "ImageList/ImageList",
    "labels": "Groundtruth/Groundtruth/TrainTestLabels",
}
L2D = {"concepts": ".", "lists": "ImageList", "labels": "TrainTestLabels"}


def write_nuswide(root, places):
    def write(place, name, lines, ending="\n"):
        path = root / places[place] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes("".join(f"{line}{ending}" for line in lines).encode())

    write("concepts", "Concepts81.txt", CONCEPTS)
    for part, images in NUS.items():
        write("lists", f"{part}Imagelist.txt", images, ending="\r\n")
        for k, concept in enumerate(CONCEPTS):
            write("labels", f"Labels_{concept}_{part}.txt", [labels[k] for labels in images.values()])
        for name in images:
            write_jpeg(root / "Flickr" / name.replace("\\", "/"))


@pytest.mark.parametrize("places", [OFFICIAL, UNZIPPED, L2D], ids=["official", "unzipped", "l2d"])
def test_nuswide_as_it_unpacks(tmp_path, places):
    write_nuswide(tmp_path, places)
    dataset = open_dataset(tmp_path)
    assert dataset.name == "NUS-WIDE test"
    assert dataset.classes == CONCEPTS
    assert dataset.ids == ("actor/0003_174174086.jpg", "zoo/0004_6.jpg")
    assert dataset.labels.tolist() == [[0, 1, 1], [0, 0, 1]]
    assert decodes(dataset)


def test_nuswide_without_unlabelled_images_is_the_split_of_cpsd(tmp_path):
    write_nuswide(tmp_path, OFFICIAL)
    kept, dropped = (
        NusWideFormat(root=".", split="train", unlabelled=option).read(tmp_path) for option in ("keep", "drop")
    )
    assert (len(kept), dropped.ids) == (2, ("actor/0001_2124494179.jpg",))


def test_nuswide_in_a_split_of_ones_own(tmp_path):
    write_nuswide(tmp_path, OFFICIAL)
    (tmp_path / "mine.txt").write_text("zoo\\0004_6.jpg\nactor/0001_2124494179.jpg\n")
    dataset = NusWideFormat(root=".", split="mine.txt").read(tmp_path)
    assert dataset.name == "NUS-WIDE mine"
    assert dataset.ids == ("zoo/0004_6.jpg", "actor/0001_2124494179.jpg")
    assert dataset.labels.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert decodes(dataset)
    (tmp_path / "mine.txt").write_text("zoo\\0009_9.jpg\n")
    with pytest.raises(DataError, match=r"mine\.txt: the image 'zoo/0009_9.jpg' is in neither official list"):
        NusWideFormat(root=".", split="mine.txt").read(tmp_path)
    with pytest.raises(DataError, match="`split: tset` is neither train nor test, nor a list of images"):
        NusWideFormat(root=".", split="tset").read(tmp_path)
