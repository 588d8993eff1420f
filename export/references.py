"""The original network's logits on whole splits, so that `verify` needs nothing of what trained it."""

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..runtime.batches import decode_batches
from ..runtime.bundle import Reference, describe_file
from ..runtime.bundle.check import path_problem
from ..runtime.datasets.base import Dataset
from ..runtime.errors import DataError
from ..runtime.metrics.logistic import sigmoid
from ..runtime.preprocess import ImageSource, load
from .errors import ExportError
from .sources.base import Source

_SAMPLES = 16
_LONGEST_SLUG = 80  # characters
_BATCH = 64
# Of the logits' spread: far above TF32's or bf16's rounding, far below another network's logits.
_MIXED_UP = 0.1


def write_references(
    references: Sequence[tuple[Dataset, np.ndarray]], source: Source, root: Path
) -> tuple[tuple[Reference, ...], np.ndarray]:
    """Store logits as `root`/reference/<name>.npy.

    Args:
        references: splits with the network's logits (N, C) in its order of classes; rows of undecodable images may be
            NaN.
        source: against whose own logits a sample of each split is compared.
        root: the bundle's folder.

    Returns:
        one record per split, and up to 16 images uint8 (M, H, W, 3) of each, to check the artifacts on.

    Raises:
        DataError: a split's classes or the shape of its logits do not fit the network.
        ExportError: the logits are not this network's.
    """
    records: list[Reference] = []
    samples = [np.empty((0, *source.card.preprocessing.size, 3), np.uint8)]
    for dataset, logits in references:
        split = dataset.with_classes(source.card.classes)
        if logits.shape != split.labels.shape:
            raise DataError(
                f"{split.name}: the reference logits are {logits.shape}, the split is {split.labels.shape}."
            )
        samples.append(_checked_sample(split, logits, source))
        path = root / "reference" / _file_name(split.name, [Path(record.file.path).name for record in records])
        path.parent.mkdir(exist_ok=True)
        np.save(path, logits.astype(np.float32), allow_pickle=False)
        records.append(Reference(file=describe_file(path, root), dataset=split.name, fingerprint=split.fingerprint()))
    return tuple(records), np.concatenate(samples)


@dataclass(frozen=True)
class Predicted:
    """What a network says of a split.

    Attributes:
        reference: the split, and logits float32 (N, C); NaN for an image that could not be decoded.
        images: the M others.
        reported: bool (M, C): their probability reaches its threshold.
    """

    reference: tuple[Dataset, np.ndarray]
    images: list[ImageSource]
    reported: np.ndarray


def predict_split(
    source: Source, split: Dataset, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> Predicted:
    """Run the network itself over every image that can be decoded.

    Args:
        source: the network.
        split: with its classes, in its order.
        progress: called with (images done, images in all).

    Raises:
        DataError: too many images cannot be decoded.
        ExportError: logits are NaN or infinite.
    """
    logits = np.full((len(split), len(source.card.classes)), np.nan, np.float32)
    rows: list[int] = []
    for indices, images in decode_batches(split.images, source.card.preprocessing, _BATCH, ids=split.ids):
        logits[indices] = source.logits(images)
        rows.extend(indices)
        progress(len(rows), len(split))
    broken = [row for row in rows if not np.isfinite(logits[row]).all()]
    if broken:
        raise ExportError(
            f"{split.name}: the network's logits of {len(broken)} of {len(rows)} images ({split.ids[broken[0]]}, ...) "
            "are not finite: its weights are damaged."
        )
    reported = sigmoid(logits[rows]) >= np.asarray(source.card.thresholds)
    return Predicted((split, logits), [split.images[row] for row in rows], reported)


def _checked_sample(split: Dataset, logits: np.ndarray, source: Source) -> np.ndarray:
    usable = np.flatnonzero(np.isfinite(logits).all(axis=1))
    rows = usable[np.unique(np.linspace(0, len(usable) - 1, min(_SAMPLES, len(usable))).astype(int))]
    if not len(rows):
        raise DataError(f"{split.name}: none of its {len(split)} images has reference logits.")
    images = np.stack([load(split.images[row], source.card.preprocessing) for row in rows])
    own = source.logits(images)
    difference = float(np.abs(own - logits[rows]).max())
    if difference > _MIXED_UP * max(1.0, float(np.ptp(own))):
        raise ExportError(
            f"{split.name}: the reference logits are off by up to {difference:.2g} from this network's own: they "
            "belong to another checkpoint, or were computed with another preprocessing or order of classes."
        )
    return images


def _file_name(name: str, taken: Sequence[str]) -> str:
    """After a split, possible on every system and, whatever the case of its letters, not taken."""
    slug = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-.")[:_LONGEST_SLUG] or "split"
    slug = "split" if path_problem(f"{slug}.npy") else slug
    numbered = (f"{slug}{'' if number == 1 else f'-{number}'}.npy" for number in itertools.count(1))
    return next(found for found in numbered if found not in taken)
