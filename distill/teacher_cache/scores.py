"""A teacher of which only a file of scores is left: one row per image, and perhaps one of the mirrored image."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from ...runtime.batches import tolerated
from ...runtime.datasets import UNKNOWN, Dataset
from ...runtime.datasets.score_file import read_scores
from ...runtime.errors import DataError
from ...runtime.files import sha256_of
from ...runtime.progress import print_line
from ..data.loader import Batch
from ..data.views import Views
from ..engine.evaluate import Outputs
from ..engine.job import Job
from ..engine.teachers import Teacher, heard_as
from ..engine.world import World
from ..models.class_map import Counterparts, match_classes
from ..models.output import ModelOutput
from ..models.outside import Scale, to_logits

_NAMED = 3
_BLOCK = 4096


@dataclass(frozen=True)
class ScoreTable:
    """A file's scores, as logits of our classes.

    Attributes:
        path: of the file.
        rows: row of each image, by its id.
        logits: float32 (M, C); 0 where `silent`.
        silent: bool (C,), classes that it says nothing of.
        sha256: of the file, and of what was made of it.
        mirrored: float32 (M, C), of the mirrored images; None where the file has none.
    """

    path: Path
    rows: dict[str, int]
    logits: Tensor
    silent: Tensor
    sha256: str
    mirrored: Tensor | None = None

    @classmethod
    def read(
        cls,
        path: Path,
        ours: Sequence[str],
        scale: Scale,
        theirs: Sequence[str] | None = None,
        given: Counterparts | None = None,
    ) -> "ScoreTable":
        """Read a file; the arguments are those of `to_logits` and `match_classes`, whose errors it raises."""
        found = read_scores(path)
        classes = match_classes(ours, theirs or found.classes, found.values.shape[1], given, str(path))

        def as_ours(values: np.ndarray) -> Tensor:
            blocks = torch.from_numpy(values).split(_BLOCK)
            return torch.cat([classes(to_logits(block, scale, str(path))) for block in blocks])

        rows = {name: row for row, name in enumerate(found.ids)}
        decides = f"{sha256_of(path)} {scale} {classes.columns}"
        mirrored = None if found.mirrored is None else as_ours(found.mirrored)
        return cls(path, rows, as_ours(found.values), classes.silent, decides, mirrored)

    def knows(self, dataset: Dataset) -> bool:
        """Whether it holds scores of any of the images."""
        return bool((self.places(dataset) >= 0).any())

    def places(self, dataset: Dataset) -> np.ndarray:
        """Row of each image of `dataset`, int64 (N,); -1 where it has none."""
        return np.array([self.rows.get(name, -1) for name in dataset.ids], np.int64)

    def require(self, dataset: Dataset, max_bad_share: float) -> np.ndarray:
        """As `places`; raises DataError where more than this share of the images has no scores."""
        places = self.places(dataset)
        if (places < 0).sum() > tolerated(len(places), max_bad_share):
            raise self._lacking(dataset, places)
        return places

    def outputs(self, dataset: Dataset) -> Outputs:
        """What it says of the images of a data set that it knows; labels of `silent` classes are taken for unknown.

        Raises:
            DataError: it knows none of them.
        """
        places = self.places(dataset)
        found = np.flatnonzero(places >= 0)
        if not len(found):
            raise self._lacking(dataset, places)
        judged = without_silent(dataset, self.silent).subset(found)
        skipped = [f"{dataset.ids[row]}: no scores" for row in np.flatnonzero(places < 0)]
        return Outputs(self.logits[places[found]].numpy(), judged, skipped, dataset, found)

    def _lacking(self, dataset: Dataset, places: np.ndarray) -> DataError:
        """The error for a data set of which it knows too few images."""
        lacking = np.flatnonzero(places < 0)
        named = ", ".join(dataset.ids[row] for row in lacking[:_NAMED])
        return DataError(
            f"{self.path}: {len(lacking):,} of {len(dataset):,} images of {dataset.name} have no scores ({named}, "
            f"...); its ids are like {next(iter(self.rows))!r}. Add them, or raise `data.max_bad_share`."
        )


@dataclass(frozen=True)
class ScoresTeacher:
    """Reads what the file says.

    Attributes:
        logits: float32 (N, C), by position in the data set.
    """

    logits: Tensor

    def __call__(self, batch: Batch, images: Tensor, targets: Tensor) -> ModelOutput:
        """The rows of the batch."""
        return ModelOutput(self.logits[batch.indices].to(images.device, non_blocking=True))


class MirroringScoresTeacher:
    """Reads what the file says of an image or of the mirrored image, whichever a view shows.

    Args:
        scores: of the images.
        mirrored: float32 (N, C), of the mirrored images.
        views: of the training.
    """

    def __init__(self, scores: ScoresTeacher, mirrored: Tensor, views: Views) -> None:
        self.scores, self.mirrored = scores, mirrored

        def find(view: int) -> Tensor:
            return torch.tensor([views.is_mirrored(index, view) for index in range(len(views))])

        self._find = lru_cache(maxsize=views.count or 1)(find)

    def __call__(self, batch: Batch, images: Tensor, targets: Tensor) -> ModelOutput:
        """The rows of the batch."""
        shown = self._find(batch.view)[batch.indices][:, None]
        logits = torch.where(shown, self.mirrored[batch.indices], self.scores.logits[batch.indices])
        return ModelOutput(logits.to(images.device, non_blocking=True))


@dataclass(frozen=True)
class ScoresSource:
    """A table as a training's teacher, which needs no network and no store."""

    table: ScoreTable

    @property
    def silent(self) -> Tensor | None:
        """The classes that the file says nothing of; None where there are none."""
        return self.table.silent if bool(self.table.silent.any()) else None

    def open(self, job: Job, views: Views, device: torch.device, world: World, console: Console) -> Teacher:
        """See `TeacherSource`; raises DataError where too many images have no scores."""
        places = self.table.require(job.train, job.max_bad_share)
        lacking = np.flatnonzero(places < 0)
        if len(lacking) and world.is_main:
            named = ", ".join(job.train.ids[row] for row in lacking[:_NAMED])
            print_line(
                console,
                f"{job.title}: {len(lacking):,} of {len(places):,} training images have no scores ({named}, ...): the "
                "teacher says nothing of them.",
            )
        silent = self.table.silent
        if len(lacking):
            silent = silent | torch.from_numpy(places < 0)[:, None]
        return heard_as(job, self._reader(job, views), silent if bool(silent.any()) else None)

    def _reader(self, job: Job, views: Views) -> Teacher:
        scores = ScoresTeacher(self._of_training(job, self.table.logits))
        if self.table.mirrored is None:
            return scores
        if len(views):
            views.is_mirrored(0, 0)  # what refuses is told before the training
        return MirroringScoresTeacher(scores, self._of_training(job, self.table.mirrored), views)

    def _of_training(self, job: Job, logits: Tensor) -> Tensor:
        """Rows by position in the training images, 0 where there is none."""
        places = torch.from_numpy(self.table.places(job.train))
        return logits[places.clamp(min=0)].masked_fill((places < 0)[:, None], 0.0)

    def live(self, job: Job, device: torch.device) -> ScoresTeacher:
        """See `TeacherSource`; of images as they are."""
        return ScoresTeacher(self._of_training(job, self.table.logits))

    def stored_views(self, job: Job, views: Views) -> int:
        """None: the file is the store."""
        return 0

    def identity(self) -> list[Any]:
        """Plain data that decides what a student learns from it."""
        return ["scores", self.table.sha256]


def without_silent(dataset: Dataset, silent: Tensor | None) -> Dataset:
    """The same images to judge a teacher on, whose labels of classes that it says nothing of are unknown.

    Args:
        dataset: images with labels (N, C).
        silent: bool (C,); None: there are none.
    """
    if silent is None:
        return dataset
    labels = dataset.labels.copy()
    labels[:, silent.numpy()] = UNKNOWN
    return replace(dataset, labels=labels)
