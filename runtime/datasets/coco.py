"""COCO: an instances JSON and its image folder (Lin et al., ECCV 2014)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec
import numpy as np

from ..errors import DataError
from ..text_files import read_bytes
from .base import FORMATS, NEGATIVE, Dataset, DatasetFormat
from .images import image_path, require_images
from .reading import class_names, first_duplicate, is_folder, label_matrix, resolve, unknown_label

_PREFIX = "instances_"
_LONGEST_ID = 80  # characters that a message shows


# Other tools than COCO's own write ids as 1.0 (which is equal to 1) or as text, and `iscrowd` as a truth value.
class _Image(msgspec.Struct):
    id: int | float | str
    file_name: str


class _Annotation(msgspec.Struct):
    image_id: int | float | str
    category_id: int | float
    iscrowd: int | float | bool | None = 0


class _Category(msgspec.Struct):
    id: int | float
    name: str


class _Instances(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


@FORMATS.register("coco")
class CocoFormat(DatasetFormat):
    """An instances JSON; an image has a class when at least one annotation of it names the category.

    Boxes and masks are not read and may be absent. Classes are ordered by category id, images as in the file.

    Attributes:
        annotations: the instances JSON.
        images: the image folder; when absent, the one of the official layout: `val2017/` (or `images/val2017/`)
            beside `annotations/` for `annotations/instances_val2017.json`.
        empty: what becomes of images without any annotation. UD keeps them (COCO 2014: 82,783 train, 40,504 val), L2D,
            MDKD and CPSD drop them (82,081 and 40,137 remain).
        crowd: whether a class of which an image has only crowd regions (`iscrowd`) is positive or unknown there; the
            four papers' code counts it as positive.
        categories: names of the only categories that are read, in the order of the file; None reads all.
    """

    accepts: ClassVar[str] = "a .json file with COCO instances"

    annotations: str
    images: str | None = None
    empty: Literal["keep", "drop"] = "keep"
    crowd: Literal["positive", "ignore"] = "positive"
    categories: tuple[str, ...] | None = None

    @classmethod
    def recognise(cls, path: Path) -> dict[str, Any] | None:
        return {"annotations": str(path)} if path.suffix.lower() == ".json" else None

    def read(self, base: Path) -> Dataset:
        """Read the JSON.

        Raises:
            DataError: names the file and the entry that is wrong.
        """
        file = resolve(base, self.annotations)
        content = _decode(file)
        folder = resolve(base, self.images) if self.images is not None else _official_folder(file)

        categories = sorted(content.categories, key=lambda category: category.id)
        classes = class_names((category.name for category in categories), f"{file}, `categories`")
        if not classes:
            raise DataError(f"{file}: `categories` is empty.")
        columns = {category.id: k for k, category in enumerate(categories)}
        if len(columns) < len(categories):
            raise DataError(f"{file}: two entries of `categories` have the same id.")
        rows = {image.id: i for i, image in enumerate(content.images)}
        if len(rows) < len(content.images):
            raise DataError(f"{file}: two entries of `images` have the same id.")

        positives: list[tuple[int, int]] = []
        unknowns: list[tuple[int, int]] = []
        for k, annotation in enumerate(content.annotations):
            if annotation.image_id not in rows or annotation.category_id not in columns:
                raise DataError(
                    f"{file}: annotation number {k + 1} names image {_shown(annotation.image_id)} and category "
                    f"{_shown(annotation.category_id)}, which are not both listed."
                )
            pair = (rows[annotation.image_id], columns[annotation.category_id])
            if annotation.iscrowd and self.crowd == "ignore":
                unknowns.append(pair)
            else:
                positives.append(pair)

        located = [image_path(folder, image.file_name, f"{file}, image {_shown(image.id)}") for image in content.images]
        names, images = [name for name, _ in located], [path for _, path in located]
        twice = first_duplicate(names)
        if twice is not None:
            raise DataError(f"{file}: `images` holds the file {twice!r} twice.")
        require_images(images, str(file), f"Images are taken from {folder}; set `images` to the right folder.")
        labels = label_matrix(len(names), len(classes), positives, unknowns)
        dataset = Dataset(file.stem, classes, tuple(names), images, labels)
        if self.categories is not None:
            dataset = dataset.only_classes(_columns(self.categories, classes, file))
        if self.empty == "keep":
            return dataset
        labelled = np.flatnonzero((dataset.labels != NEGATIVE).any(axis=1))
        if not len(labelled):
            raise DataError(f"{file}: no image has an annotation, so `empty: drop` leaves none.")
        return dataset.subset(labelled)


def _columns(categories: Sequence[str], classes: tuple[str, ...], file: Path) -> list[int]:
    """Places of these names among the file's, in the file's order; raises DataError for one that it does not have."""
    for name in categories:
        if name not in classes:
            raise unknown_label(f"{file}: `categories`", name, classes, "Name categories of the file.")
    if not categories:
        raise DataError(f"{file}: `categories` is empty; leave it out to read all.")
    return [column for column, name in enumerate(classes) if name in categories]


def _decode(file: Path) -> _Instances:
    """The content of UTF-8, UTF-16 or UTF-32 JSON, with or without a byte order mark."""
    raw = read_bytes(file)
    try:
        text = raw.decode(json.detect_encoding(raw))
        try:
            return msgspec.json.decode(text, type=_Instances)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            # Python writes NaN and Infinity, e.g. for an area, which is no JSON; here they stand in what is not read.
            return msgspec.convert(json.loads(text), _Instances)
    except msgspec.ValidationError as error:
        raise DataError(f"{file}: is not a COCO instances file: {error}.") from None
    except RecursionError:
        raise DataError(f"{file}: is not a COCO instances file: it is nested too deep.") from None
    except ValueError as error:  # both libraries' errors of syntax and of encoding
        raise DataError(f"{file}: not valid JSON ({error}).") from None


def _shown(identity: float | str) -> str:
    """An id, shortened: an integer in JSON may have any number of digits."""
    text = repr(identity)
    return text if len(text) <= _LONGEST_ID else f"{text[:_LONGEST_ID]}..."


def _official_folder(file: Path) -> Path:
    split = file.stem.removeprefix(_PREFIX)
    for folder in (file.parent.parent / split, file.parent.parent / "images" / split):
        if file.stem.startswith(_PREFIX) and is_folder(folder):
            return folder
    raise DataError(
        f"{file}: where are its images? Set `images` to their folder; it can be left out only in the official layout, "
        "annotations/instances_val2017.json beside val2017/ or images/val2017/."
    )
