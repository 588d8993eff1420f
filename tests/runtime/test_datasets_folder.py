"""The folder format: images without labels."""

import pytest

from edgedistill.runtime.datasets import open_dataset
from edgedistill.runtime.datasets.folder import image_names
from edgedistill.runtime.errors import DataError
from edgedistill.runtime.image_files import images_below


def test_every_image_below_the_folder_and_nothing_else(tmp_path):
    folder = tmp_path / "photos"
    for name in ("b.PNG", "a.jpg", "sub/deep/c.jpeg", "sub/notes.txt", ".hidden.jpg", ".cache/d.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    found = open_dataset({"format": "folder", "path": "photos"}, tmp_path, classes=["ant", "bee"])
    assert found.ids == ("a.jpg", "b.PNG", "sub/deep/c.jpeg")
    assert found.images == [folder / name for name in found.ids]
    assert (found.labels == -1).all()
    assert found.classes == ("ant", "bee")


def test_photographs_in_heif_are_told_of_once(tmp_path, caplog):
    for name in ("a.jpg", "IMG_1.HEIC", "more/IMG_2.heic", "._IMG_1.HEIC"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert image_names(tmp_path) == ("a.jpg",)
    assert [file.path.name for file in (*images_below(tmp_path), *images_below(tmp_path))] == ["a.jpg", "a.jpg"]
    (told,) = caplog.messages
    assert told == (
        f"{tmp_path}: 2 photographs in HEIF (.heic), as iPhones take them, are left out: they are not read here. "
        "Convert them to JPEG."
    )


def test_what_is_lacking_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: the folder holds no image"):
        open_dataset({"format": "folder", "path": "empty"}, tmp_path, classes=["ant"])
    with pytest.raises(DataError, match="nowhere: no such folder"):
        open_dataset({"format": "folder", "path": "nowhere"}, tmp_path, classes=["ant"])
    with pytest.raises(DataError, match="says nothing about classes: set `classes`"):
        open_dataset({"format": "folder", "path": "empty"}, tmp_path)
