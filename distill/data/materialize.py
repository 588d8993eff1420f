"""Write scenes that exist only in memory as image files, so that a device without the generator can verify on them."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from ...runtime.datasets import Dataset, open_dataset
from ...runtime.files import write_atomic

_LABELS = "labels.csv"
_STAMP = ".fingerprint"


def materialize(dataset: Dataset, folder: Path) -> Dataset:
    """Write `dataset` as JPEG files and a labels.csv, or find it already written, and read it back from there.

    Args:
        dataset: images as uint8 arrays.
        folder: gets the images and labels.csv.
    """
    index, stamp = folder / _LABELS, folder / _STAMP
    fingerprint = dataset.fingerprint()
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != fingerprint:
        stamp.unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        for name, image in zip(dataset.ids, dataset.images, strict=True):
            Image.fromarray(np.asarray(image)).save(folder / f"{name}.jpg", quality=95, subsampling=0)
        write_atomic(index, _table(dataset))
        write_atomic(stamp, fingerprint)  # last: its presence says that the images are complete
    written = open_dataset({"format": "csv", "path": _LABELS}, folder)
    return replace(written, name=dataset.name, difficult=dataset.difficult)


def _table(dataset: Dataset) -> str:
    """The one-hot layout, which keeps unknown entries and the order of the classes."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["path", *dataset.classes])
    for name, labels in zip(dataset.ids, dataset.labels, strict=True):
        writer.writerow([f"{name}.jpg", *labels])
    return stream.getvalue()
