"""How good a teacher is before it teaches: against chance, and against the student's own start."""

import hashlib
import math
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console

from ...runtime import metrics
from ...runtime.errors import ConfigError
from ...runtime.files import write_atomic
from ...runtime.interval import Interval
from ...runtime.progress import print_line
from ...runtime.record import Record
from ..engine import Outputs, World


class Quality(Record):
    """A teacher's accuracy on the validation part.

    Attributes:
        of: what was judged: the teacher's weights, its preprocessing and the images.
        images: how many it said something of.
        mAP: in points.
        low: lower end of its 95 % interval; None where the images are too few to tell.
        high: upper end, likewise.
        chance: mAP that a random order of these images has on average.
    """

    of: str
    images: int
    mAP: float  # noqa: N815
    low: float | None
    high: float | None
    chance: float

    @property
    def beats_chance(self) -> bool:
        """Whether its interval lies above chance; where there is none, its mAP."""
        return (self.mAP if self.low is None else self.low) > self.chance

    def __str__(self) -> str:
        """E.g. "validation mAP 83.12 [80.10, 85.93] on 1,000 images, where chance is 7.31"."""
        interval = "" if self.low is None else f" [{self.low:.2f}, {self.high:.2f}]"
        return f"validation mAP {self.mAP:.2f}{interval} on {self.images:,} images, where chance is {self.chance:.2f}"


def quality_of(outputs: Outputs, of: str = "") -> Quality:
    """Judge outputs against the labels of their own data set."""
    scores, labels = outputs.scores, outputs.dataset.labels
    interval = _interval(scores, labels)
    return Quality(
        of=of,
        images=len(labels),
        mAP=float(metrics.evaluate(scores, labels)["mAP"]),
        low=interval.low,
        high=interval.high,
        chance=chance_map(labels),
    )


def chance_map(labels: np.ndarray) -> float:
    """The mean mAP, in points, of images in random order; labels int8 (N, C), unknown ones in no class's ranking.

    With m positives among n images the precision at the k-th place, if that is a positive, is on average
    (1 + (k - 1) (m - 1) / (n - 1)) / k; every place is as likely. It is the prevalence, and more where images are few.
    """
    known, positives = (labels >= 0).sum(axis=0), (labels == 1).sum(axis=0)
    found = []
    for n, m in zip(known.tolist(), positives.tolist(), strict=True):
        if m:
            places = np.arange(1, n + 1)
            found.append(float(((1 + (places - 1) * (m - 1) / max(1, n - 1)) / places).mean()))
    return 100 * float(np.mean(found)) if found else math.nan


def stored_quality(path: Path, of: str) -> Quality | None:
    """What an earlier start found about the very same."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Quality)
    except (OSError, msgspec.DecodeError):
        return None
    return found if found.of == of else None


def store_quality(path: Path, quality: Quality, world: World) -> None:
    """Keep it for the next start; rank 0 writes."""
    if world.is_main:
        write_atomic(path, msgspec.json.format(msgspec.json.encode(quality), indent=2) + b"\n")


def identity_of(*parts: object) -> str:
    """SHA-256 over what decides a quality."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


def tell(quality: Quality | None, says_nothing_of: str | None, console: Console) -> None:
    """One line before a student is taught; None: the teacher says nothing of the validation part."""
    rest = f"; it {says_nothing_of}" if says_nothing_of else ""
    found = quality or "says nothing of the validation images, so that nobody knows how good it is"
    print_line(console, f"teacher: {found}{rest}")


def require_quality(teacher: Quality, start: Quality | None, where: str, key: str = "teacher.accept: true") -> None:
    """Raise ConfigError where a student would learn from a teacher that knows nothing, or less than it does.

    Args:
        teacher: of the teacher.
        start: of the student before its training, where it has learned these classes already.
        where: for the message.
        key: with which it goes on all the same.
    """
    accept = "Is it another network's weights, another order of the classes, or another normalisation? If it is meant, "
    accept += f"set `{key}`."
    if not teacher.beats_chance:
        raise ConfigError(
            f"{where}: the teacher is no better than chance, as far as these images tell: {teacher}. {accept}"
        )
    if start is not None and start.mAP > (teacher.mAP if teacher.high is None else teacher.high):
        raise ConfigError(
            f"{where}: the student knows more before its training than the teacher: {start.mAP:.2f} against {teacher}. "
            f"{accept}"
        )


def _interval(scores: np.ndarray, labels: np.ndarray) -> Interval:
    return metrics.map_interval(metrics.leave_one_out(scores, labels))
