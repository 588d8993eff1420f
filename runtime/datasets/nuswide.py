"""NUS-WIDE: the official list files and the Flickr image folder (Chua et al., CIVR 2009)."""

import os
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from ..errors import DataError
from ..text_files import read_bytes
from .base import FORMATS, UNKNOWN, Dataset, DatasetFormat
from .images import image_path, require_images
from .reading import class_names, first_duplicate, is_file, is_folder, read_lines, resolve

_PARTS = {"train": "Train", "test": "Test"}
# Where the files stand below the root; the official places first.
_CONCEPTS = ("ConceptsList", "ConceptsList/ConceptsList", ".")
_LISTS = ("ImageList", "ImageList/ImageList")
_LABELS = ("Groundtruth/TrainTestLabels", "Groundtruth/Groundtruth/TrainTestLabels", "TrainTestLabels")
# One cell of the official files is damaged (the row differs from AllLabels/ by this alone); what it was is not known.
_LONGEST_CELL = 32  # bytes; numpy gives every cell the room of the longest
_DAMAGED = {("lake", "Train", 78_372): b"-1130179"}


@FORMATS.register("nuswide")
class NusWideFormat(DatasetFormat):
    r"""NUS-WIDE as its official archives unpack: 81 concepts, 161,789 training and 107,859 test images.

    All stand in one folder:

        ConceptsList/Concepts81.txt                        one concept per line: the class order
        ImageList/{Train,Test}Imagelist.txt                one image per line, e.g. actor\0001_2124494179.jpg
        Groundtruth/TrainTestLabels/Labels_<concept>_{Train,Test}.txt      0 or 1 per line, in the list's order
        Flickr/actor/0001_2124494179.jpg

    Each archive may also stand in a folder of its own name (ImageList/ImageList/...), and what Groundtruth/ and
    ConceptsList/ hold may stand in the root, as in L2D's code. Line 78,372 of the official Labels_lake_Train.txt reads
    -1130179: that label is unknown (-1).

    Attributes:
        root: the folder that holds all of these.
        split: `train`, `test`, or the path of a list of images like the official ones, for a split of one's own: its
            images may be of both official lists, which give their labels.
        images: the image folder; `Flickr` in `root` when absent.
        unlabelled: what becomes of images without any of the 81 concepts. L2D and MDKD keep them; CPSD drops them,
            which leaves its 125,449 training and 83,898 test images.
    """

    accepts: ClassVar[str] = "a NUS-WIDE folder with ImageList/ and Groundtruth/"

    root: str
    split: str
    images: str | None = None
    unlabelled: Literal["keep", "drop"] = "keep"

    @classmethod
    def recognise(cls, path: Path) -> dict[str, Any] | None:
        labelled = is_folder(path / "Groundtruth") or is_folder(path / "TrainTestLabels")
        return {"root": str(path), "split": "test"} if labelled and is_folder(path / "ImageList") else None

    def read(self, base: Path) -> Dataset:
        """Read the lists.

        Raises:
            DataError: names the file and the line that is wrong.
        """
        root = resolve(base, self.root)
        folder = resolve(base, self.images) if self.images is not None else root / "Flickr"
        concepts = _find(root, "Concepts81.txt", _CONCEPTS)
        classes = class_names(read_lines(concepts), str(concepts))
        if self.split in _PARTS:
            part = _PARTS[self.split]
            index = _list_of(root, part)
            names = _read_list(index, folder)
            labels = _read_labels(root, classes, part, len(names))
            title = f"NUS-WIDE {self.split}"
        else:
            index = resolve(base, self.split)
            if not is_file(index):
                raise DataError(
                    f"`split: {self.split}` is neither train nor test, nor a list of images: no file {index}."
                )
            names = _read_list(index, folder)
            labels = _look_up(root, classes, folder, names, index)
            title = f"NUS-WIDE {index.stem}"
        images = [folder / name for name in names]
        require_images(images, str(index), f"Images are taken from {folder}; set `images` to the right folder.")
        dataset = Dataset(title, classes, tuple(names), images, labels)
        if self.unlabelled == "keep":
            return dataset
        labelled = np.flatnonzero((labels == 1).any(axis=1))
        if not labelled.size:
            raise DataError(f"{index}: no image has a label, so `unlabelled: drop` leaves none.")
        return dataset.subset(labelled)


def _find(root: Path, name: str, places: tuple[str, ...]) -> Path:
    """`name` in the first of `places` below `root` that has it; in the official place where none has."""
    found = [root / place / name for place in places]
    return next((path for path in found if is_file(path)), found[0])


def _list_of(root: Path, part: str) -> Path:
    return _find(root, f"{part}Imagelist.txt", _LISTS)


def _read_list(index: Path, folder: Path) -> list[str]:
    """The images' paths below the image folder, with forward slashes."""
    names = [image_path(folder, line, str(index))[0] for line in read_lines(index)]
    twice = first_duplicate(names)
    if twice is not None:
        raise DataError(f"{index}: the image {twice!r} is listed twice.")
    return names


def _read_labels(root: Path, classes: tuple[str, ...], part: str, size: int) -> np.ndarray:
    """int8 (size, C): the labels of an official list."""
    labels = np.empty((size, len(classes)), np.int8)
    for k, concept in enumerate(classes):
        labels[:, k] = _read_column(root, concept, part, size)
    return labels


def _look_up(root: Path, classes: tuple[str, ...], folder: Path, names: list[str], index: Path) -> np.ndarray:
    """int8 (N, C): the labels that the official lists give to `names`."""
    rows: dict[str, int] = {}
    labels = []
    for part in _PARTS.values():
        official = _read_list(_list_of(root, part), folder)
        rows |= zip(official, range(len(rows), len(rows) + len(official)), strict=True)
        labels.append(_read_labels(root, classes, part, len(official)))
    strange = next((name for name in names if name not in rows), None)
    if strange is not None:
        raise DataError(f"{index}: the image {strange!r} is in neither official list, so its labels are not known.")
    return np.concatenate(labels)[[rows[name] for name in names]]


def _read_column(root: Path, concept: str, part: str, size: int) -> np.ndarray:
    """int8 (size,): one concept's label of each image."""
    file = _find(root, f"Labels_{concept}_{part}.txt", _LABELS)
    if not os.path.lexists(file):
        raise DataError(f"{file}: no such file; it comes with the official Groundtruth archive.")
    tokens = read_bytes(file).split()
    long = next((i for i, token in enumerate(tokens) if len(token) > _LONGEST_CELL), None)
    if long is not None:
        raise DataError(f"{file}, line {long + 1}: {tokens[long][:_LONGEST_CELL]!r}... is neither 0 nor 1.")
    cells = np.array(tokens)
    if len(cells) != size:
        raise DataError(f"{file}: {len(cells)} labels for the {size} images of {part}Imagelist.txt.")
    column = (cells == b"1").astype(np.int8)
    for i in np.flatnonzero((cells != b"1") & (cells != b"0")):
        if _DAMAGED.get((concept, part, int(i) + 1)) != cells[i]:
            raise DataError(f"{file}, line {i + 1}: {cells[i].decode(errors='replace')!r} is neither 0 nor 1.")
        column[i] = UNKNOWN
    return column
