"""NUS-WIDE: the official list files and the Flickr image folder (Chua et al., CIVR 2009)."""

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from ..errors import DataError
from .base import FORMATS, UNKNOWN, Dataset, DatasetFormat
from .reading import first_duplicate, image_path, read_lines, require_images, resolve

# One cell of the official files is damaged (the row differs from AllLabels/ by this alone); what it was is not known.
_DAMAGED = {("lake", "Train", 78_372): b"-1130179"}


@FORMATS.register("nuswide")
class NusWideFormat(DatasetFormat):
    r"""81 concepts, 161,789 training and 107,859 test images, from the official archives unpacked into one folder:

        ConceptsList/Concepts81.txt                        one concept per line: the class order
        ImageList/{Train,Test}Imagelist.txt                one image per line, e.g. actor\0001_2124494179.jpg
        Groundtruth/TrainTestLabels/Labels_<concept>_{Train,Test}.txt      0 or 1 per line, in the list's order
        Flickr/actor/0001_2124494179.jpg

    Line 78,372 of the official Labels_lake_Train.txt reads -1130179: that label is unknown (-1).

    Attributes:
        root: the folder that holds all of these.
        split: which list.
        images: the image folder; `Flickr` in `root` when absent.
        unlabelled: what becomes of images without any of the 81 concepts; L2D keeps them.
    """

    accepts: ClassVar[str] = "a NUS-WIDE folder with ImageList/ and Groundtruth/"

    root: str
    split: Literal["train", "test"]
    images: str | None = None
    unlabelled: Literal["keep", "drop"] = "keep"

    @classmethod
    def recognise(cls, path: Path) -> dict[str, Any] | None:
        if not (path / "ImageList").is_dir() or not (path / "Groundtruth").is_dir():
            return None
        return {"root": str(path), "split": "test"}

    def read(self, base: Path) -> Dataset:
        """Read the lists.

        Raises:
            DataError: names the file and the line that is wrong.
        """
        root = resolve(base, self.root)
        folder = resolve(base, self.images) if self.images is not None else root / "Flickr"
        part = self.split.capitalize()
        classes = tuple(read_lines(root / "ConceptsList" / "Concepts81.txt"))
        index = root / "ImageList" / f"{part}Imagelist.txt"
        located = [image_path(folder, line, str(index)) for line in read_lines(index)]
        names, images = [name for name, _ in located], [path for _, path in located]
        twice = first_duplicate(names)
        if twice is not None:
            raise DataError(f"{index}: the image {twice!r} is listed twice.")
        require_images(images, str(index), f"Images are taken from {folder}; set `images` to the right folder.")

        labels = np.empty((len(names), len(classes)), np.int8)
        for k, concept in enumerate(classes):
            labels[:, k] = _read_column(root, concept, part, len(names))
        dataset = Dataset(f"NUS-WIDE {self.split}", classes, tuple(names), images, labels)
        if self.unlabelled == "keep":
            return dataset
        labelled = np.flatnonzero((labels == 1).any(axis=1))
        if not labelled.size:
            raise DataError(f"{index}: no image has a label, so `unlabelled: drop` leaves none.")
        return dataset.subset(labelled)


def _read_column(root: Path, concept: str, part: str, size: int) -> np.ndarray:
    """int8 (size,): one concept's label of each image."""
    file = root / "Groundtruth" / "TrainTestLabels" / f"Labels_{concept}_{part}.txt"
    try:
        cells = np.array(file.read_bytes().split())
    except FileNotFoundError:
        raise DataError(f"{file}: no such file; it comes with the official Groundtruth archive.") from None
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}).") from None
    if len(cells) != size:
        raise DataError(f"{file}: {len(cells)} labels for the {size} images of {part}Imagelist.txt.")
    column = (cells == b"1").astype(np.int8)
    for i in np.flatnonzero((cells != b"1") & (cells != b"0")):
        if _DAMAGED.get((concept, part, int(i) + 1)) != cells[i]:
            raise DataError(f"{file}, line {i + 1}: {cells[i].decode(errors='replace')!r} is neither 0 nor 1.")
        column[i] = UNKNOWN
    return column
