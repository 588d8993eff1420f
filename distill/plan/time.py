"""How long a training will take, from a few of its steps on random images."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

import msgspec
import numpy as np
import torch
from torch import Tensor

from ...runtime.errors import DataError
from ..data.loader import Batch, EpochSampler, Share, choose_workers
from ..data.views import Views
from ..engine.faults import explained
from ..engine.job import Job
from ..engine.optimize import choose_device
from ..engine.prepare import build_state, build_views, check_pieces, set_backends
from ..engine.step import Step
from ..engine.stopwatch import Stopwatch
from ..engine.teachers import Teacher, TeacherSource
from ..engine.world import ALONE
from ..methods import TrainingContext
from ..models import Classifier
from ..models.output import ModelOutput

_FEWEST, _MOST = 3, 30  # measurements of one thing
_ENOUGH_SECONDS = 1.0
_IMAGES = 16

Bound = Literal["data", "teacher", "student"]


@dataclass(frozen=True)
class Estimate:
    """A training's parts on this machine as it is now, in one process.

    Attributes:
        images: of the training part.
        epochs: that the job plans.
        steps: optimiser steps in all.
        batch_size: images of one.
        step_seconds: of one step, a live teacher included, without waiting for data.
        load_seconds: of one image, decoded and augmented.
        reload_seconds: of one image of every later pass, which finds it decoded where decoded images are kept.
        loading_processes: that load beside the training; 0 where it does so itself.
        teacher_seconds: of one image through the teacher; 0 without one.
        stored_views: how many of the teacher's outputs per image are stored first; 0 where it runs at every step.
    """

    images: int
    epochs: int
    steps: int
    batch_size: int
    step_seconds: float
    load_seconds: float
    reload_seconds: float
    loading_processes: int
    teacher_seconds: float = 0.0
    stored_views: int = 0

    def seconds(self, *, epochs: float | None = None, stored_views: float | None = None) -> float:
        """Of so many epochs after so many passes that store the teacher's outputs; None: of all.

        Starting, compiling and evaluating are left out.
        """
        epochs = self.epochs if epochs is None else epochs
        storing = self.stored_views if stored_views is None else stored_views
        teacher = self.teacher_seconds * self.images
        passes = storing * self._pass(teacher, self.reload_seconds) + epochs * self._pass(
            self._epoch, self.reload_seconds
        )
        first = teacher if storing else self._epoch
        later = self._pass(first, self.load_seconds) - self._pass(first, self.reload_seconds)
        return passes + min(1.0, storing or epochs) * later

    @property
    def bound(self) -> Bound:
        """What most of an epoch waits for: loading (`data`), the live `teacher`, or the `student`."""
        if self.reload_seconds * self.images / (self.loading_processes or 1) > self._epoch:
            return "data"
        live = not self.stored_views
        return "teacher" if live and self.teacher_seconds * self.batch_size > self.step_seconds / 2 else "student"

    @property
    def _epoch(self) -> float:
        return self.step_seconds * self.steps / self.epochs

    def _pass(self, computing: float, load_seconds: float) -> float:
        """Seconds of a pass over the images; loading processes work while it computes."""
        loading = load_seconds * self.images
        return max(computing, loading / self.loading_processes) if self.loading_processes else computing + loading


def estimate(job: Job, model: Classifier, teacher: TeacherSource | None) -> Estimate:
    """Measure it; `model` is trained by a few steps and of no use afterwards. Nothing is written or kept in memory.

    Raises:
        ConfigError: a step's batch cannot be shared by its pieces, or leaves a BatchNorm one image.
        DataError: none of the first images can be decoded.
        EdgedistillError: the GPU's memory is too small.
    """
    settings, device = job.settings, choose_device()
    set_backends(settings)
    job = keeping_no_images(job)
    views = build_views(job)
    sampler = EpochSampler(views, settings.batch_size, job.seed, Share(pieces=settings.accumulate))
    check_pieces(job, model, sampler.batch_size, ALONE)
    live = teacher.live(settings, device) if teacher is not None else None
    stored = teacher.stored_views(job, views) if teacher is not None else 0
    piece = _random_batch(job, sampler.batch_size // settings.accumulate)
    with explained(job.title):
        step_seconds = _step_seconds(job, model, _Remembered(live) if live is not None and stored else live, piece)
        teacher_seconds = _teacher_seconds(live, piece, device) if live is not None else 0.0
    keeps = views.decoded.choose(settings.decoded_cache) != "off"
    load_seconds, reload_seconds = _load_seconds(views, job, keeps=keeps)
    return Estimate(
        images=len(views),
        epochs=settings.epochs,
        steps=len(sampler) * settings.epochs,
        batch_size=sampler.batch_size,
        step_seconds=step_seconds,
        load_seconds=load_seconds,
        reload_seconds=reload_seconds,
        loading_processes=choose_workers(job.train, settings.workers, device),
        teacher_seconds=teacher_seconds,
        stored_views=stored,
    )


def keeping_no_images(job: Job) -> Job:
    """The job without its cache of decoded images, which would take memory or disk as soon as it is opened."""
    return replace(job, settings=msgspec.structs.replace(job.settings, decoded_cache="off"))


@dataclass
class _Remembered:
    """A teacher whose outputs cost nothing after the first time, as if they were read."""

    live: Teacher
    output: ModelOutput | None = None

    def __call__(self, batch: Batch, images: Tensor, targets: Tensor) -> ModelOutput:
        self.output = self.output or self.live(batch, images, targets)
        return self.output


def _step_seconds(job: Job, model: Classifier, teacher: Teacher | None, piece: Batch) -> float:
    settings, device = job.settings, choose_device()
    steps = _MOST + 1  # a schedule refuses to go on past its end
    state = build_state(model, settings, device, steps)
    if settings.compile:
        model.compile()
    step = Step(
        state=state,
        network=model,
        teacher=teacher,
        method=job.method,
        settings=settings,
        device=device,
        world=ALONE,
        stopwatch=Stopwatch(device),
        seed=job.seed,
    )
    model.train()
    pieces = [piece] * settings.accumulate
    step(pieces, TrainingContext(0, 0, steps))  # compiles, tunes and allocates
    return _median_seconds(lambda number: step(pieces, TrainingContext(0, number, steps)))


def _teacher_seconds(live: Teacher, piece: Batch, device: torch.device) -> float:
    """Of one image; a GPU is waited for, as a step does by itself."""
    images, targets = piece.images.to(device), piece.targets.to(device)
    return _median_seconds(lambda _: live(piece, images, targets).logits.sum().item()) / len(images)


def _random_batch(job: Job, size: int) -> Batch:
    """Images are noise; labels are real ones, which some terms depend on in what they compute."""
    generator = torch.Generator().manual_seed(job.seed)
    height, width = job.card.preprocessing.size
    images = torch.randint(256, (size, height, width, 3), dtype=torch.uint8, generator=generator)
    places = _spread(len(job.train), size)
    return Batch(images, torch.from_numpy(job.train.labels[places]), torch.from_numpy(places), 0, [])


def _load_seconds(views: Views, job: Job, *, keeps: bool) -> tuple[float, float]:
    """Of one image, and of one that is found decoded where decoded images are kept."""
    places = _spread(len(views), min(_IMAGES, len(views)))
    seconds, decoded, usable = [], [], []
    for place in places.tolist():
        began = time.perf_counter()
        try:
            views.image(place, 0)
        except DataError:
            continue
        seconds.append(time.perf_counter() - began)
        if keeps:
            decoded.append(views.decoded[place])
            usable.append(place)
    if not seconds:
        raise DataError(f"{job.train.name}: none of {len(places)} images that were tried can be decoded.")
    if not keeps:
        return median(seconds), median(seconds)
    kept = build_views(replace(job, train=replace(job.train.subset(usable), images=decoded)))
    return median(seconds), _median_seconds(lambda number: kept.image(number % len(kept), 0))


def _spread(length: int, count: int) -> np.ndarray:
    """`count` positions from the first to the last of `length`, int64."""
    return np.linspace(0, length - 1, count).astype(np.int64)


def _median_seconds(work: Callable[[int], object]) -> float:
    """Of `work`, which is given the number of the repetition, from 1."""
    seconds: list[float] = []
    while len(seconds) < _FEWEST or (sum(seconds) < _ENOUGH_SECONDS and len(seconds) < _MOST):
        began = time.perf_counter()
        work(len(seconds) + 1)
        seconds.append(time.perf_counter() - began)
    return median(seconds)
