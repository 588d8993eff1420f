"""`toy_arrays`: images and labels in one .npz file."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from edgedistill.runtime.datasets import FORMATS, Dataset, DatasetFormat
from edgedistill.runtime.errors import DataError


@FORMATS.register("toy_arrays")
class ToyArrays(DatasetFormat):
    """Arrays in a .npz: `images` uint8 (N, H, W, 3), `labels` int8 (N, C), `classes` (C,)."""

    accepts: ClassVar[str] = "a .npz of images, labels and classes"

    path: str

    @classmethod
    def recognise(cls, path: Path) -> dict[str, Any] | None:
        return {"path": str(path)} if path.suffix == ".npz" else None

    def read(self, base: Path) -> Dataset:
        path = base / self.path
        try:
            with np.load(path, allow_pickle=False) as stored:
                images, labels, classes = (stored[name] for name in ("images", "labels", "classes"))
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"{path}: cannot be read as arrays ({error}).") from error
        ids = tuple(str(number) for number in range(len(images)))
        return Dataset(path.stem, tuple(map(str, classes)), ids, list(images), labels.astype(np.int8))
