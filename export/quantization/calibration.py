"""Which images calibrate, and which judge the result of calibrating."""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from ...runtime.batches import decode_batches
from ...runtime.bundle import CalibrationData
from ...runtime.datasets.base import POSITIVE, Dataset
from ...runtime.datasets.overlap import identities
from ...runtime.errors import ConfigError
from ...runtime.preprocess import Preprocessing
from .graph_images import GraphImages

IMAGES = 512
HELD_OUT = 1000
_BATCH = 64


@dataclass(frozen=True)
class Calibration:
    """Labelled images for quantisers; without a known label they still calibrate.

    Attributes:
        ranges: on which the activations' ranges are measured.
        held_out: on which calibrators are compared and layers are put back into float; shares no image with `ranges`.
    """

    ranges: Dataset
    held_out: Dataset


@dataclass(frozen=True)
class CalibrationImages:
    """A calibration, decoded.

    Attributes:
        ranges: N images.
        held_out: M images.
        targets: int8 (M, C) of the held-out images, in the order of the student's classes.
        record: for the manifest.
    """

    ranges: GraphImages
    held_out: GraphImages
    targets: np.ndarray
    record: CalibrationData

    def store(self, folder: Path) -> None:
        """Write them where a child process reads them with `stored_images`."""
        folder.mkdir()
        np.save(folder / "ranges.npy", self.ranges.pixels)
        np.save(folder / "held_out.npy", self.held_out.pixels)
        np.save(folder / "targets.npy", self.targets)
        rest = {"normalised_by": self.ranges.normalised_by, "record": self.record}
        (folder / "rest.json").write_bytes(msgspec.json.encode(rest))


def stored_images(folder: Path) -> CalibrationImages:
    """What `CalibrationImages.store` wrote; pixels are read when they are used."""

    class Rest(msgspec.Struct):
        normalised_by: Preprocessing | None
        record: CalibrationData

    rest = msgspec.json.decode((folder / "rest.json").read_bytes(), type=Rest)
    ranges, held_out = (
        GraphImages(np.load(folder / f"{name}.npy", mmap_mode="r"), rest.normalised_by)
        for name in ("ranges", "held_out")
    )
    return CalibrationImages(ranges, held_out, np.load(folder / "targets.npy"), rest.record)


def choose_calibration(
    data: Dataset, images: int = IMAGES, *, held_out: Dataset | None = None, judged: int = HELD_OUT, seed: int = 0
) -> Calibration:
    """A class-balanced sample of training images, and others to judge by.

    Args:
        data: training images; never a test split.
        images: how many of them measure ranges, fewer where there are fewer.
        held_out: what the result is judged by, e.g. the validation split; the rest of `data` when absent.
        judged: how many images of `held_out` are used at most.
        seed: of the sample.

    Raises:
        ConfigError: `images` or `judged` is below 1, or nothing is left to judge by.
    """
    if images < 1:
        raise ConfigError(f"{images} calibration images: needs at least 1; 300 to 500 are usual.")
    rng = np.random.default_rng(seed)
    if held_out is None:
        images = max(1, min(images, len(data) - max(1, min(len(data) // 4, judged))))
    chosen = balanced_sample(data.labels, images, rng)
    if held_out is None:
        (same,) = identities(data)  # one that is listed twice is one
        used = {same[row] for row in chosen}
        rest = [row for row in range(len(data)) if same[row] not in used]
        if not rest:
            raise ConfigError(
                f"{data.name}: one image is not enough to calibrate on: some measure ranges, others judge the "
                "result. Give a few hundred training images."
            )
        held_out = data.subset(rest)
    if not len(held_out) or judged < 1:
        raise ConfigError(f"{held_out.name}: no image is held out to judge int8 by.")
    return Calibration(
        ranges=data.subset(chosen),
        held_out=held_out.subset(balanced_sample(held_out.labels, judged, rng)),
    )


def balanced_sample(labels: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Indices of `count` images, sorted, in which every class is shown as nearly equally often as the images allow.

    One image after the other is taken of the class that is shown least so far, images without a label in between in
    their share; without labels it is a plain sample.

    Args:
        labels: int8 (N, C).
        count: how many; all where there are no more.
        rng: decides between equals.
    """
    images = len(labels)
    if count >= images:
        return np.arange(images)
    positive = labels == POSITIVE
    order = rng.permutation(images)
    queues = [order[positive[order, c]].tolist() for c in range(labels.shape[1])]
    queues.append(order[~positive[order].any(axis=1)].tolist())  # images that show none of the classes
    shown = np.zeros(len(queues))
    taken = np.zeros(images, dtype=bool)
    empty = np.array([not queue for queue in queues])
    while taken.sum() < count:
        c = int(np.where(empty, np.inf, shown).argmin())
        while queues[c] and taken[queues[c][-1]]:
            queues[c].pop()
        if not queues[c]:
            empty[c] = True
            continue
        image = queues[c].pop()
        taken[image] = True
        shown[:-1] += positive[image]
        shown[-1] += not positive[image].any()
    return np.flatnonzero(taken)


def decode_calibration(
    calibration: Calibration, classes: tuple[str, ...], preprocessing: Preprocessing, *, uint8: bool
) -> CalibrationImages:
    """Read the images, each once; one that cannot be decoded is left out.

    Args:
        calibration: which images.
        classes: the student's.
        preprocessing: the student's.
        uint8: whether the graph takes uint8 NHWC, else normalised float32 NCHW.

    Raises:
        DataError: classes differ, or too many images are undecodable.
        ConfigError: no image can be decoded.
    """
    held_out = calibration.held_out.with_classes(classes)
    ranges, _ = _decode(calibration.ranges, preprocessing)
    judged, kept = _decode(held_out, preprocessing)
    record = CalibrationData(
        dataset=calibration.ranges.name,
        fingerprint=calibration.ranges.fingerprint(),
        images=len(ranges),
        held_out_dataset=held_out.name,
        held_out_fingerprint=calibration.held_out.fingerprint(),
        held_out_images=len(judged),
    )
    by = None if uint8 else preprocessing
    return CalibrationImages(GraphImages(ranges, by), GraphImages(judged, by), held_out.labels[kept], record)


def _decode(data: Dataset, preprocessing: Preprocessing) -> tuple[np.ndarray, np.ndarray]:
    batches = list(decode_batches(data.images, preprocessing, _BATCH, ids=data.ids))
    if not batches:
        raise ConfigError(f"{data.name}: holds no image that can be decoded: int8 needs some.")
    indices = np.concatenate([batch.indices for batch in batches])
    return np.concatenate([batch.images for batch in batches]), indices
