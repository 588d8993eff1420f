"""How long a training will take, from a few steps of it on random images."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from ...runtime.errors import DataError
from ..data.loader import Batch, choose_workers
from ..data.views import Views
from ..methods import TrainingContext
from ..models import Classifier
from ..models.output import ModelOutput
from .job import Job
from .optimize import choose_device
from .prepare import build_state, build_views, run_live, set_backends, stores_teacher
from .step import Step
from .stopwatch import Stopwatch
from .teachers import LiveTeacher
from .world import ALONE

_STEPS = 3
_IMAGES = 16


@dataclass(frozen=True)
class Estimate:
    """A training's parts on this machine as it is now, in one process.

    Attributes:
        images: of the training part.
        epochs: that the job plans.
        steps: optimiser steps in all.
        step_seconds: of one step, without waiting for data.
        decode_seconds: of one image, decoded and augmented once.
        loading_processes: that do so beside the training; 0 where it does so itself.
        stored_views: how many of the teacher's outputs per image are stored first; 0 where it runs at every step.
        teacher_seconds: of one image through the teacher, for those.
    """

    images: int
    epochs: int
    steps: int
    step_seconds: float
    decode_seconds: float
    loading_processes: int
    stored_views: int
    teacher_seconds: float

    @property
    def seconds(self) -> float:
        """Of the whole training from its beginning; evaluation and what an earlier start already did are left out."""
        loading, computing = self.decode_seconds * self.images * self.epochs, self.step_seconds * self.steps
        training = max(computing, loading / self.loading_processes) if self.loading_processes else computing + loading
        return training + self.stored_views * self.images * (self.teacher_seconds + self.decode_seconds)


def estimate(job: Job, model: Classifier, teacher: Classifier | None) -> Estimate:
    """Measure it; `model` is trained by a few steps and of no use afterwards, no file is written.

    Raises:
        DataError: none of the first images can be decoded.
    """
    settings, device = job.settings, choose_device()
    set_backends(settings)
    views = build_views(job)
    batch_size = min(settings.batch_size, len(views))
    live = run_live(teacher, settings, device) if teacher is not None else None
    stored = (views.count or settings.epochs) if live is not None and stores_teacher(job, views) else 0
    pieces = [_random_batch(job, batch_size // settings.accumulate) for _ in range(settings.accumulate)]
    steps = len(views) // batch_size * settings.epochs
    step = Step(
        state=build_state(model, settings, device, steps),
        network=model,
        teacher=_Remembered(live) if live is not None and stored else live,
        method=job.method,
        settings=settings,
        device=device,
        world=ALONE,
        stopwatch=Stopwatch(device),
        seed=job.seed,
    )
    model.train()
    step(pieces, TrainingContext(0, 0, steps))  # compiles, tunes and allocates
    step_seconds = _median_seconds(lambda number: step(pieces, TrainingContext(0, number, steps)), _STEPS)
    teacher_seconds = 0.0
    if live is not None and stored:
        images, targets = pieces[0].images.to(device), pieces[0].targets.to(device)
        teacher_seconds = _median_seconds(lambda _: _finished(live(pieces[0], images, targets)), _STEPS)
    return Estimate(
        images=len(views),
        epochs=settings.epochs,
        steps=steps,
        step_seconds=step_seconds,
        decode_seconds=_decode_seconds(views, job),
        loading_processes=choose_workers(job.train, settings.workers, device),
        stored_views=stored,
        teacher_seconds=teacher_seconds / len(pieces[0].images),
    )


@dataclass
class _Remembered:
    """A teacher whose outputs cost nothing after the first time, as if they were read."""

    live: LiveTeacher
    output: ModelOutput | None = None

    def __call__(self, batch: Batch, images: Tensor, targets: Tensor) -> ModelOutput:
        self.output = self.output or self.live(batch, images, targets)
        return self.output


def _random_batch(job: Job, size: int) -> Batch:
    generator = torch.Generator().manual_seed(job.seed)
    height, width = job.card.preprocessing.size
    images = torch.randint(256, (size, height, width, 3), dtype=torch.uint8, generator=generator)
    labels = torch.from_numpy(job.train.labels[:1]).repeat(size, 1)
    return Batch(images, labels, torch.zeros(size, dtype=torch.int64), 0, [])


def _decode_seconds(views: Views, job: Job) -> float:
    places = torch.linspace(0, len(views) - 1, min(_IMAGES, len(views))).long().tolist()
    seconds = []
    for place in places:
        started = time.perf_counter()
        try:
            views.image(place, 0)
        except DataError:
            continue
        seconds.append(time.perf_counter() - started)
    if not seconds:
        raise DataError(f"{job.train.name}: none of {len(places)} images that were tried can be decoded.")
    return median(seconds)


def _median_seconds(work: Callable[[int], object], times: int) -> float:
    seconds = []
    for number in range(1, times + 1):
        started = time.perf_counter()
        work(number)
        seconds.append(time.perf_counter() - started)
    return median(seconds)


def _finished(output: ModelOutput) -> None:
    """Wait for a GPU to have computed it; a step waits by itself."""
    output.logits.sum().item()
