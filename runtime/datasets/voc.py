"""PASCAL VOC: a devkit's year folder, its split lists and its XML annotations (Everingham et al., IJCV 2010)."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any, ClassVar, Literal

from ..errors import DataError
from .base import FORMATS, Dataset, DatasetFormat
from .reading import class_list, first_duplicate, label_matrix, read_lines, require_images, resolve, unknown_label

# fmt: off
VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)
# fmt: on


@FORMATS.register("voc")
class VocFormat(DatasetFormat):
    """`ImageSets/Main/<split>.txt` lists the images; `Annotations/<id>.xml` and `JPEGImages/<id>.jpg` belong to each.

    An image has a class when at least one object of it is of that class.

    Attributes:
        root: the year's folder, e.g. `VOCdevkit/VOC2007`.
        split: which list; VOC2012's test annotations are not public.
        difficult: what a class is in an image whose objects of that class are all marked difficult: "positive" (MDKD,
            L2D, and UD's training), "ignore" for unknown (the official AP, and UD's), or "negative".
        classes: names in the order of the label columns, or the path of a text file with one per line, for a data set
            of one's own in this layout; the 20 official classes when absent.
    """

    accepts: ClassVar[str] = "a VOC year folder with Annotations/ and ImageSets/ (VOCdevkit/VOC2007, not VOCdevkit)"

    root: str
    split: Literal["train", "val", "trainval", "test"]
    difficult: Literal["positive", "ignore", "negative"] = "positive"
    classes: list[str] | str | None = None

    @classmethod
    def recognise(cls, path: Path) -> dict[str, Any] | None:
        if not (path / "Annotations").is_dir() or not (path / "ImageSets").is_dir():
            return None
        return {"root": str(path), "split": "test" if _list_of(path, "test").is_file() else "val"}

    def read(self, base: Path) -> Dataset:
        """Read the split list and one XML file per image.

        Raises:
            DataError: names the file and what is wrong with it.
        """
        root = resolve(base, self.root)
        classes = class_list(self.classes, base) or VOC_CLASSES
        index = {name: k for k, name in enumerate(classes)}
        ids = [line.split()[0] for line in read_lines(_list_of(root, self.split))]
        twice = first_duplicate(ids)
        if twice is not None:
            raise DataError(f"{_list_of(root, self.split)}: the image {twice!r} is listed twice.")
        images = [root / "JPEGImages" / f"{name}.jpg" for name in ids]
        require_images(images, str(root), "Is `root` the year's folder, with its JPEGImages?")

        positives, unknowns = [], []
        for i, name in enumerate(ids):
            file = root / "Annotations" / f"{name}.xml"
            for label, difficult in _objects(file):
                if label not in index:
                    raise unknown_label(str(file), label, classes, "Set `classes` if this is not PASCAL VOC.")
                if not difficult or self.difficult == "positive":
                    positives.append((i, index[label]))
                elif self.difficult == "ignore":
                    unknowns.append((i, index[label]))
        labels = label_matrix(len(ids), len(classes), positives, unknowns)
        return Dataset(f"{root.name} {self.split}", classes, tuple(ids), images, labels)


def _list_of(root: Path, split: str) -> Path:
    return root / "ImageSets" / "Main" / f"{split}.txt"


def _objects(file: Path) -> list[tuple[str, bool]]:
    """The class and the difficult mark of each object; the <part>s of VOC2012's persons are no objects."""
    try:
        document = ET.parse(file)
    except FileNotFoundError:
        raise DataError(f"{file}: no such file, but a split list names it; choose another `split`.") from None
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}).") from None
    except ET.ParseError as error:
        raise DataError(f"{file}: not valid XML ({error}).") from None
    found = []
    for element in document.iterfind("object"):
        label = (element.findtext("name") or "").strip()
        if not label:
            raise DataError(f"{file}: an <object> has no <name>.")
        found.append((label, (element.findtext("difficult") or "0").strip() not in ("0", "")))
    return found
