"""PASCAL VOC: a devkit's year folder, its split lists and its XML annotations (Everingham et al., IJCV 2010)."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from ..errors import DataError
from .base import FORMATS, NEGATIVE, POSITIVE, UNKNOWN, Dataset, DatasetFormat
from .reading import class_list, first_duplicate, label_matrix, read_lines, require_images, resolve, unknown_label

# fmt: off
VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)
# fmt: on
Split = Literal["train", "val", "trainval", "test"]
_LABEL_OF_DIFFICULT = {"positive": POSITIVE, "ignore": UNKNOWN, "negative": NEGATIVE}


@FORMATS.register("voc")
class VocFormat(DatasetFormat):
    """`ImageSets/Main/<split>.txt` lists the images; `Annotations/<id>.xml` and `JPEGImages/<id>.jpg` belong to each.

    An image has a class when at least one object of it is of that class. The label is difficult when all of them are
    marked so: the 0 of the official `<class>_<split>.txt` lists.

    Attributes:
        root: the year's folder (`VOCdevkit/VOC2007`), or the folder that the official archives were unpacked into when
            it holds one year.
        split: which list. VOC2007: trainval 5,011 images, test 4,952; VOC2012: train 5,717, val 5,823, trainval
            11,540, and its test annotations are not public.
        difficult: what a class is in an image whose objects of that class are all marked difficult: "positive" (MDKD,
            L2D, and UD's training), "ignore" for unknown (the official AP, and UD's), or "negative".
        classes: names in the order of the label columns, or the path of a text file with one per line, for a data set
            of one's own in this layout; the 20 official classes when absent.
    """

    accepts: ClassVar[str] = "a VOC folder with Annotations/ and ImageSets/, or a VOCdevkit that holds one year"

    root: str
    split: Split
    difficult: Literal["positive", "ignore", "negative"] = "positive"
    classes: list[str] | str | None = None

    @classmethod
    def recognise(cls, path: Path) -> dict[str, Any] | None:
        if not _years(path):
            return None
        return {"root": str(path), "split": "test" if _list_of(_year_folder(path), "test").is_file() else "val"}

    def read(self, base: Path) -> Dataset:
        """Read the split list and one XML file per image.

        Raises:
            DataError: names the file and what is wrong with it.
        """
        root = _year_folder(resolve(base, self.root))
        classes = class_list(self.classes, base) or VOC_CLASSES
        index = {name: k for k, name in enumerate(classes)}
        listed = _list_of(root, self.split)
        if not listed.is_file():
            present = [name for name in get_args(Split) if _list_of(root, name).is_file()]
            raise DataError(f"{listed}: no such file; the splits here: {', '.join(present) or 'none'}.")
        ids = [line.split()[0] for line in read_lines(listed)]
        twice = first_duplicate(ids)
        if twice is not None:
            raise DataError(f"{listed}: the image {twice!r} is listed twice.")
        images = [root / "JPEGImages" / f"{name}.jpg" for name in ids]
        require_images(images, str(root), "Is `root` the year's folder, with its JPEGImages?")

        easy, marked = [], []
        for i, name in enumerate(ids):
            file = root / "Annotations" / f"{name}.xml"
            for label, difficult in _objects(file):
                if label not in index:
                    raise unknown_label(str(file), label, classes, "Set `classes` if this is not PASCAL VOC.")
                (marked if difficult else easy).append((i, index[label]))
        labels = label_matrix(len(ids), len(classes), easy, marked)
        difficult = labels == UNKNOWN
        labels[difficult] = _LABEL_OF_DIFFICULT[self.difficult]
        return Dataset(f"{root.name} {self.split}", classes, tuple(ids), images, labels, difficult)


def _years(folder: Path) -> list[Path]:
    """The year folders that `folder` is or holds, directly or in the archives' VOCdevkit/."""
    for found in ([folder], folder.glob("VOC[0-9]*"), folder.glob("VOCdevkit/VOC[0-9]*")):
        years = [year for year in found if (year / "Annotations").is_dir() and (year / "ImageSets").is_dir()]
        if years:
            return sorted(years)
    return []


def _year_folder(root: Path) -> Path:
    """The one year of `root`; DataError when it holds several or none."""
    years = _years(root)
    if len(years) > 1:
        held = ", ".join(str(year.relative_to(root)) for year in years)
        raise DataError(f"{root}: holds several years ({held}); name one of them as `root`.")
    if not years:
        reason = "holds no Annotations/ and ImageSets/" if root.is_dir() else "no such folder"
        raise DataError(f"{root}: {reason}; `root` is the folder of a VOC year, e.g. VOCdevkit/VOC2007.")
    return years[0]


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
