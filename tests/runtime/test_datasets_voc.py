import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedistill.runtime.datasets.voc import VOC_CLASSES, VocFormat
from edgedistill.runtime.errors import DataError

OBJECT = "<object><name>{}</name><pose>Left</pose><truncated>1</truncated>{}<bndbox><xmin>1</xmin></bndbox>{}</object>"


def write_image(root, name, objects):
    """`objects`: (class, difficult) pairs; a difficult mark of None is left out, as VOC2012 does for some."""
    body = "".join(
        OBJECT.format(
            label,
            "" if difficult is None else f"<difficult>{int(difficult)}</difficult>",
            "<part><name>head</name></part>" if label == "person" else "",
        )
        for label, difficult in objects
    )
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    source = f"<annotation><filename>{name}.jpg</filename><owner><name>someone</name></owner>{body}</annotation>"
    (root / "Annotations" / f"{name}.xml").write_text(source)
    (root / "JPEGImages" / f"{name}.jpg").touch()


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "VOC2007"
    write_image(root, "000001", [("dog", 0), ("person", 1), ("person", 0)])
    write_image(root, "000002", [("chair", 1), ("chair", 1), ("dog", 1)])
    write_image(root, "000003", [("person", None)])
    (root / "ImageSets/Main/trainval.txt").write_text("000002\n000001\n")
    (root / "ImageSets/Main/test.txt").write_text("000003\n")
    return root


def named(dataset, value):
    return [{dataset.classes[k] for k in (row == value).nonzero()[0]} for row in dataset.labels]


def read(root, split="trainval", **options):
    return VocFormat(root=root.name, split=split, **options).read(root.parent)


def test_official_lists_and_classes(root):
    dataset = read(root)
    assert dataset.name == "VOC2007 trainval"
    assert dataset.classes == VOC_CLASSES == tuple(sorted(VOC_CLASSES))
    assert len(VOC_CLASSES) == 20
    assert dataset.ids == ("000002", "000001")
    assert dataset.images[0] == root / "JPEGImages" / "000002.jpg"
    assert named(dataset, 1) == [{"chair", "dog"}, {"dog", "person"}]


def test_parts_and_absent_difficult_marks(root):
    assert named(read(root, "test", difficult="negative"), 1) == [{"person"}]


def test_difficult_objects(root):
    ignored = read(root, difficult="ignore")
    assert named(ignored, 1) == [set(), {"dog", "person"}]
    assert named(ignored, -1) == [{"chair", "dog"}, set()]
    assert named(read(root, difficult="negative"), 1) == [set(), {"dog", "person"}]
    assert (read(root, difficult="negative").labels >= 0).all()


@settings(max_examples=40, deadline=None)
@given(objects=st.lists(st.tuples(st.sampled_from(VOC_CLASSES[:3]), st.booleans()), max_size=6))
def test_an_easy_object_beats_a_difficult_one(tmp_path_factory, objects):
    root = tmp_path_factory.getbasetemp() / "VOC2012"
    write_image(root, "x", objects)
    (root / "ImageSets/Main/val.txt").write_text("x\n")
    easy, hard = ({label for label, difficult in objects if difficult == mark} for mark in (False, True))
    dataset = read(root, "val", difficult="ignore")
    assert named(dataset, 1) == [easy]
    assert named(dataset, -1) == [hard - easy]
    assert named(read(root, "val"), 1) == [easy | hard]


@pytest.mark.parametrize(
    ("word", "label"),
    [
        *((word, 0) for word in ("1", "1.0", "true", "True", "yes", " 1 ")),
        *((word, 1) for word in ("0", "0.0", "false", "False", "FALSE", "no", "", "\n")),
    ],
)
def test_difficult_as_a_word(root, word, label):
    source = f"<annotation><object><name>dog</name><difficult>{word}</difficult></object></annotation>"
    (root / "Annotations/000003.xml").write_text(source)
    dataset = read(root, "test", difficult="negative")
    assert dataset.labels[0, VOC_CLASSES.index("dog")] == label


@pytest.mark.parametrize("suffix", [".jpeg", ".JPG", ".JPEG", ".png", ".PNG", ".bmp", ".tif", ".webp"])
def test_images_with_any_usual_suffix(root, suffix):
    for name in ("000001", "000002"):
        (root / f"JPEGImages/{name}.jpg").rename(root / f"JPEGImages/{name}{suffix}")
    assert [image.name for image in read(root).images] == [f"000002{suffix}", f"000001{suffix}"]
    (root / "JPEGImages/000001.jpg").touch()  # of several the usual one
    (root / "JPEGImages/000001.txt").touch()
    assert read(root).images[1].name == "000001.jpg"


def test_each_image_folder_is_listed_once(root, monkeypatch):
    asked = []
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: asked.append(str(path)) or listdir(path))
    read(root)
    assert asked.count(str(root / "JPEGImages")) <= 2  # for the suffixes, and for what is missing


def test_names_with_spaces_and_in_folders(root):
    for name in ("my photo", "sub/x"):
        (root / "Annotations/sub").mkdir(exist_ok=True)
        (root / f"Annotations/{name}.xml").write_text("<annotation/>")
        (root / "JPEGImages/sub").mkdir(exist_ok=True)
        (root / f"JPEGImages/{name}.PNG").touch()
    (root / "ImageSets/Main/val.txt").write_text("my photo\nsub/x\n000001  1\n")
    dataset = read(root, "val")
    assert dataset.ids == ("my photo", "sub/x", "000001")
    assert all(image.is_file() for image in dataset.images)
    (root / "ImageSets/Main/val.txt").write_text("../000001\n")
    with pytest.raises(DataError, match="outside the image folder"):
        read(root, "val")


def test_mostly_missing_images_are_refused_and_a_few_counted(root, caplog):
    names = [f"{i:06}" for i in range(11, 22)]
    for name in names:
        write_image(root, name, [("dog", 0)])
    (root / "ImageSets/Main/val.txt").write_text("\n".join(names))
    for name in names[:2]:
        (root / f"JPEGImages/{name}.jpg").unlink()
    assert len(read(root, "val")) == 11
    (record,) = caplog.records
    assert "val.txt: 2 of its 11 images are missing (" in record.getMessage()
    for name in names[2:10]:
        (root / f"JPEGImages/{name}.jpg").unlink()
    with pytest.raises(
        DataError, match=r"val\.txt: 10 of its 11 images are missing \(.*000011\.jpg, .*000013\.jpg, \.\.\.\)"
    ):
        read(root, "val")


def test_own_classes(root):
    write_image(root, "000003", [("drone", 0)])
    with pytest.raises(DataError, match=r"000003\.xml: 'drone' is not one of the 20 classes.*Set `classes`"):
        read(root, "test")
    assert read(root, "test", classes=["bird", "drone"]).labels.tolist() == [[0, 1]]


def test_faulty_trees(root):
    with pytest.raises(DataError, match=r"Main/val\.txt: no such file"):
        read(root, "val")
    (root / "Annotations/000003.xml").write_text("<annotation><object>")
    with pytest.raises(DataError, match=r"000003\.xml: not valid XML"):
        read(root, "test")
    (root / "Annotations/000003.xml").write_text("<annotation><object><difficult>1</difficult></object></annotation>")
    with pytest.raises(DataError, match="an <object> has no <name>"):
        read(root, "test")
    (root / "Annotations/000003.xml").unlink()
    with pytest.raises(DataError, match=r"000003\.xml: no such file, but a split list names it"):
        read(root, "test")
    (root / "ImageSets/Main/val.txt").write_text("000001\n000001\n")
    with pytest.raises(DataError, match="'000001' is listed twice"):
        read(root, "val")
    (root / "JPEGImages").rename(root / "images")
    with pytest.raises(DataError, match="none of its 2 images exists"):
        read(root)
