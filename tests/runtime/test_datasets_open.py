import json

import pytest

from edgedistill.runtime.datasets import FORMATS, open_dataset
from edgedistill.runtime.errors import ConfigError, DataError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.jpg").touch()
    (tmp_path / "val.csv").write_text("path,labels\na.jpg,cat\n")
    return tmp_path


def test_the_four_formats_are_registered():
    assert {"csv", "coco", "voc", "nuswide"} <= set(FORMATS.names())


def test_mapping_and_csv_and_yaml_read_the_same(folder):
    (folder / "data.yaml").write_text("format: csv\npath: val.csv\nimages: pictures\n")
    expected = folder / "pictures" / "a.jpg"
    for dataset in (
        open_dataset({"format": "csv", "path": "val.csv", "images": "pictures"}, base=folder),
        open_dataset("val.csv", base=folder, images="pictures"),
        open_dataset(folder / "val.csv", images=folder / "pictures"),
        open_dataset(folder / "data.yaml"),
        open_dataset("data.yaml", base=folder, images=expected.parent),
    ):
        assert dataset.images[0] == expected
        assert dataset.classes == ("cat",)


def test_relative_paths_start_from_the_working_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    dataset = open_dataset("val.csv", images="pictures")
    monkeypatch.chdir("/")
    assert dataset.images[0].is_file()


def test_a_json_is_coco(folder):
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (folder / "my.json").write_text(json.dumps(content))
    assert open_dataset("my.json", base=folder, images="pictures").classes == ("cat",)
    with pytest.raises(DataError, match="Set `images` to their folder"):
        open_dataset("my.json", base=folder)


@pytest.mark.parametrize("split", ["test", "val"])
def test_a_voc_folder_is_read_by_its_evaluation_list(folder, split):
    root = folder / "VOC2012"
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / name).mkdir(parents=True)
    (root / "ImageSets/Main" / f"{split}.txt").write_text("x\n")
    (root / "Annotations/x.xml").write_text("<annotation/>")
    (root / "JPEGImages/x.jpg").touch()
    assert open_dataset(root).name == f"VOC2012 {split}"
    with pytest.raises(ConfigError, match=r"unknown key `data\.images`"):
        open_dataset(root, images=folder)


def test_a_nuswide_folder(folder):
    (folder / "nus/ImageList").mkdir(parents=True)
    (folder / "nus/Groundtruth").mkdir()
    with pytest.raises(DataError, match=r"Concepts81\.txt: no such file"):
        open_dataset("nus", base=folder)


def test_what_is_not_recognised_says_what_is(folder):
    with pytest.raises(DataError, match=r"nowhere\.csv: no such file or folder"):
        open_dataset("nowhere.csv", base=folder)
    for path in ("pictures", "pictures/a.jpg"):
        with pytest.raises(DataError) as caught:
            open_dataset(path, base=folder)
        for word in (".csv", ".json", "VOC", "NUS-WIDE", ".yaml", "csv | "):
            assert word in str(caught.value)


def test_wrong_options_name_the_file_and_the_key(folder):
    (folder / "data.yaml").write_text("format: csv\npath: val.csv\nimage: pictures\n")
    with pytest.raises(ConfigError, match=r"data\.yaml: unknown key `data.image`. Did you mean `images`"):
        open_dataset(folder / "data.yaml")
    with pytest.raises(ConfigError, match="unknown dataset format 'cvs': did you mean 'csv'"):
        open_dataset({"format": "cvs"})
    with pytest.raises(ConfigError, match="Allowed: train, val, trainval, test"):
        open_dataset({"format": "voc", "root": "x", "split": "tset"})
