"""PASCAL VOC: a devkit's year folder, its split lists and its XML annotations (Everingham et al., IJCV 2010)."""

import os
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from ..errors import DataError
from .base import FORMATS, NEGATIVE, POSITIVE, UNKNOWN, Dataset, DatasetFormat
from .images import image_path, images_by_stem, require_images
from .reading import (
    class_list,
    first_duplicate,
    is_file,
    is_folder,
    label_matrix,
    read_lines,
    resolve,
    truth,
    unknown_label,
)
from .xml_text import parse_xml

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

    An image may also be a .jpeg, .png, .webp, .bmp, .tif, .tiff or .gif, in small or capital letters. It has a class
    when at least one object of it is of that class. The label is difficult when all of them are marked so: the 0 of the
    official `<class>_<split>.txt` lists.

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
        return {"root": str(path), "split": "test" if is_file(_list_of(_year_folder(path), "test")) else "val"}

    def read(self, base: Path) -> Dataset:
        """Read the split list and one XML file per image.

        Raises:
            DataError: names the file and what is wrong with it.
        """
        root = _year_folder(resolve(base, self.root))
        classes = class_list(self.classes, base) or VOC_CLASSES
        index = {name: k for k, name in enumerate(classes)}
        listed = _list_of(root, self.split)
        if not is_file(listed):
            present = [name for name in get_args(Split) if is_file(_list_of(root, name))]
            raise DataError(f"{listed}: no such file; the splits here: {', '.join(present) or 'none'}.")
        ids = [_id(line, root, str(listed)) for line in read_lines(listed)]
        twice = first_duplicate(ids)
        if twice is not None:
            raise DataError(f"{listed}: the image {twice!r} is listed twice.")
        images = images_by_stem(root / "JPEGImages", ids)
        require_images(images, str(listed), f"Images are taken from {root / 'JPEGImages'}, with any usual suffix.")

        easy: list[tuple[int, int]] = []
        marked: list[tuple[int, int]] = []
        for i, name in enumerate(ids):
            file = root / "Annotations" / f"{name}.xml"
            if not os.path.lexists(file):
                raise DataError(f"{file}: no such file, but a split list names it; choose another `split`.")
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
    if not is_folder(folder):
        return []
    for found in ([folder], folder.glob("VOC[0-9]*"), folder.glob("VOCdevkit/VOC[0-9]*")):
        years = [year for year in found if is_folder(year / "Annotations") and is_folder(year / "ImageSets")]
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
        reason = "holds no Annotations/ and ImageSets/" if is_folder(root) else "no such folder"
        raise DataError(f"{root}: {reason}; `root` is the folder of a VOC year, e.g. VOCdevkit/VOC2007.")
    return years[0]


def _list_of(root: Path, split: str) -> Path:
    return root / "ImageSets" / "Main" / f"{split}.txt"


def _id(line: str, root: Path, where: str) -> str:
    """The image that a line of a split list names: all of it, or what stands before a mark, as in `000005  1`."""
    first = line.split(maxsplit=1)[0]
    whole = image_path(root, line, where)[0]
    annotated = first != line and is_file(root / "Annotations" / f"{whole}.xml")
    return whole if annotated else image_path(root, first, where)[0]


def _objects(file: Path) -> list[tuple[str, bool]]:
    """The class and the difficult mark of each object; the <part>s of VOC2012's persons are no objects."""
    document = parse_xml(file)
    if document.tag.rpartition("}")[2] != "annotation":
        raise DataError(f"{file}: is no VOC annotation: its outermost element is <{document.tag[:80]}>.")
    found = []
    for element in document.iterfind("{*}object"):
        label = (element.findtext("{*}name") or "").strip()
        if not label:
            raise DataError(f"{file}: an <object> has no <name>.")
        word = (element.findtext("{*}difficult") or "").strip() or "0"
        difficult = truth(word)
        if difficult is None:
            raise DataError(f"{file}: <difficult>{word[:80]}</difficult> is neither 1 nor 0, true nor false.")
        found.append((label, difficult))
    return found
