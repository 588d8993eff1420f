import pytest

from edgedistill.runtime.datasets import nuswide
from edgedistill.runtime.datasets.nuswide import NusWideFormat
from edgedistill.runtime.errors import DataError

CONCEPTS = ["airport", "lake", "zebra"]
LABELS = {"airport": [1, 0, 0], "lake": [1, 0, 1], "zebra": [0, 0, 1]}


def write(root, path, lines, ending="\n"):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes("".join(f"{line}{ending}" for line in lines).encode())


@pytest.fixture
def root(tmp_path):
    write(tmp_path, "ConceptsList/Concepts81.txt", CONCEPTS)
    names = [r"actor\0001_2124494179.jpg", r"actor\0002_174174086.jpg", r"zoo\0003_5.jpg"]
    write(tmp_path, "ImageList/TestImagelist.txt", names, ending="\r\n")
    for name in names:
        write(tmp_path, "Flickr/" + name.replace("\\", "/"), [])
    for concept, column in LABELS.items():
        write(tmp_path, f"Groundtruth/TrainTestLabels/Labels_{concept}_Test.txt", column)
    return tmp_path


def read(root, **options):
    return NusWideFormat(**{"root": ".", "split": "test", **options}).read(root)


def test_official_lists(root):
    dataset = read(root)
    assert dataset.name == "NUS-WIDE test"
    assert dataset.classes == tuple(CONCEPTS)
    assert dataset.ids == ("actor/0001_2124494179.jpg", "actor/0002_174174086.jpg", "zoo/0003_5.jpg")
    assert dataset.images[0] == root / "Flickr" / "actor" / "0001_2124494179.jpg"
    assert dataset.labels.tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 1]]


def test_unlabelled_images_are_dropped_on_request(root):
    assert read(root, unlabelled="drop").ids == ("actor/0001_2124494179.jpg", "zoo/0003_5.jpg")


def test_images_option(root):
    (root / "Flickr").rename(root / "photos")
    with pytest.raises(DataError, match="none of its 3 images exists"):
        read(root)
    assert read(root, images="photos").images[0].is_file()


def test_the_damaged_cell_of_the_official_files_is_unknown_and_no_other(root, monkeypatch):
    monkeypatch.setattr(nuswide, "require_images", lambda *_: None)  # so many files would take long to make
    size = 78_400
    write(root, "ImageList/TrainImagelist.txt", [f"{i}.jpg" for i in range(size)])
    column = ["0"] * size
    for concept in CONCEPTS:
        write(root, f"Groundtruth/TrainTestLabels/Labels_{concept}_Train.txt", column)
    column[78_371] = "-1130179"
    write(root, "Groundtruth/TrainTestLabels/Labels_lake_Train.txt", column)
    labels = read(root, split="train").labels
    assert labels[78_371].tolist() == [0, -1, 0]
    assert (labels != 0).sum() == 1
    write(root, "Groundtruth/TrainTestLabels/Labels_zebra_Train.txt", column)
    with pytest.raises(DataError, match=r"Labels_zebra_Train\.txt, line 78372: '-1130179' is neither 0 nor 1"):
        read(root, split="train")


def test_lists_that_do_not_fit(root):
    file = "Groundtruth/TrainTestLabels/Labels_zebra_Test.txt"
    write(root, file, [0, 1])
    with pytest.raises(DataError, match=r"Labels_zebra_Test\.txt: 2 labels for the 3 images"):
        read(root)
    (root / file).unlink()
    with pytest.raises(DataError, match=r"Labels_zebra_Test\.txt: no such file"):
        read(root)
    write(root, "ImageList/TestImagelist.txt", ["a.jpg", "a.jpg"])
    with pytest.raises(DataError, match=r"'a\.jpg' is listed twice"):
        read(root)
    (root / "ConceptsList/Concepts81.txt").unlink()
    with pytest.raises(DataError, match=r"Concepts81\.txt: no such file"):
        read(root)
