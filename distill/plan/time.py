"""How long a training will take, from a few of its steps on random images."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

import msgspec
import numpy as np
import torch

from ...runtime.errors import DataError
from ..data.loader import Batch, EpochSampler, Share, choose_workers
from ..data.on_device import fits_device
from ..data.views import Views
from ..engine.faults import explained
from ..engine.images import build_views
from ..engine.job import Job
from ..engine.network import TrainedNetwork
from ..engine.optimize import choose_device, settle_format
from ..engine.prepare import build_state, build_step, check_pieces, set_backends
from ..engine.relations import find_relations, told_relations
from ..engine.teachers import Teacher, TeacherSource
from ..engine.world import ALONE
from ..methods import TrainingContext
from ..methods.part import Part
from ..models import Classifier
from ..teacher_cache import PerImageSource
from .facts import Bound

_FEWEST, _MOST = 3, 30  # measurements of one thing
_ENOUGH_SECONDS = 1.0
_IMAGES = 16


@dataclass(frozen=True)
class Estimate:
    """A training's parts on this machine as it is now, in one process."""

    images: int  # of the training part
    epochs: int  # that the job plans
    steps: int  # of the optimiser, in all
    batch_size: int
    step_seconds: float  # a live teacher included, without waiting for data
    load_seconds: float  # of one image, decoded and augmented
    reload_seconds: float  # the same in every later pass, which finds it decoded where decoded images are kept
    loading_processes: int  # beside the training; 0 where it loads by itself
    teacher_seconds: float = 0.0  # of one image through the teacher
    stored_views: int = 0  # of the teacher's outputs per image, stored first; 0 where it runs at every step
    storing_seconds: float | None = None  # of one image, decoded for the teacher alone; None: the student's
    note: str = ""  # what a step costs beside the usual

    def seconds(self, *, epochs: float | None = None, stored_views: float | None = None) -> float:
        """Of so many epochs after so many passes that store the teacher's outputs; None: of all.

        Starting, compiling and evaluating are left out.
        """
        epochs = self.epochs if epochs is None else epochs
        storing = self.stored_views if stored_views is None else stored_views
        teacher, training = self.teacher_seconds * self.images, self._epoch
        if self.storing_seconds is not None:
            decoding = self._pass(training, self.load_seconds) - self._pass(training, self.reload_seconds)
            stored = storing * self._pass(teacher, self.storing_seconds)
            return stored + epochs * self._pass(training, self.reload_seconds) + min(1.0, epochs) * decoding
        first = teacher if storing else training  # what the pass computes that decodes
        decoding = self._pass(first, self.load_seconds) - self._pass(first, self.reload_seconds)
        later = storing * self._pass(teacher, self.reload_seconds) + epochs * self._pass(training, self.reload_seconds)
        return later + min(1.0, storing or epochs) * decoding

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


def estimate(job: Job, model: Classifier, teacher: TeacherSource | None, part: Part | None = None) -> Estimate:
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
    check_pieces(job, TrainedNetwork(model, part), sampler.batch_size, ALONE)
    piece = _random_batch(job, sampler.batch_size // settings.accumulate)
    taught_by: Teacher | None = None
    stored, teacher_seconds = 0, 0.0
    with explained(job.title):
        if teacher is not None:
            taught_by = live = teacher.live(job, device)
            stored = teacher.stored_views(job, views)
            images, targets = piece.images.to(device), piece.targets.to(device)
            output = live(piece, images, targets)
            # A GPU is waited for.
            seconds = _median_seconds(lambda _: live(piece, images, targets).logits.sum().item())
            teacher_seconds = seconds / len(images)
            if stored:
                taught_by = lambda *_: output  # noqa: E731 (as if it was read)
        step_seconds, note = _step_seconds(job, model, part, taught_by, piece)
    keeps = views.decoded.choose(settings.decoded_cache, job.cache_folder / "images") != "off"
    load_seconds, reload_seconds = _load_seconds(views, job, keeps=keeps)
    if fits_device(settings.decoded_cache, views, device, settings.mix, job.title):
        reload_seconds = 0.0  # a step of the device among others
    storing: float | None = None
    if isinstance(teacher, PerImageSource):
        storing, _ = _load_seconds(teacher.images(job, views), job, keeps=False)
    loads = 1.0 if settings.mix is None else 1.0 + settings.mix.probability
    return Estimate(
        images=len(views),
        epochs=settings.epochs,
        steps=len(sampler) * settings.epochs,
        batch_size=sampler.batch_size,
        step_seconds=step_seconds,
        load_seconds=loads * load_seconds,
        reload_seconds=loads * reload_seconds,
        loading_processes=choose_workers(job.train, settings.workers, device),
        teacher_seconds=teacher_seconds,
        stored_views=stored,
        storing_seconds=storing,
        note=note,
    )


def keeping_no_images(job: Job) -> Job:
    """The job without its cache of decoded images, which would take memory or disk as soon as it is opened."""
    return replace(job, settings=msgspec.structs.replace(job.settings, decoded_cache="off"))


def _step_seconds(
    job: Job, model: Classifier, part: Part | None, teacher: Teacher | None, piece: Batch
) -> tuple[float, str]:
    """Of one step, and what is to be told of it."""
    device = choose_device()
    settings = settle_format(job.settings, model, device, job.card.preprocessing.size)
    steps = _MOST + 1  # a schedule refuses to go on past its end
    state = build_state(model, settings, device, steps, part)
    relations = find_relations(job, state.trained, teacher, ALONE, piece)
    step = build_step(job, settings, state, teacher, relations=relations, world=ALONE)
    state.trained.train()
    pieces = [piece] * settings.accumulate
    step(pieces, TrainingContext(0, 0, steps)).read()  # compiles, tunes and allocates
    seconds = _median_seconds(lambda number: step(pieces, TrainingContext(0, number, steps)).read())
    return seconds, told_relations(settings, relations, ALONE)


def _random_batch(job: Job, size: int) -> Batch:
    """Images are noise; labels are real ones, which some terms depend on in what they compute."""
    generator = torch.Generator().manual_seed(job.seed)
    images = torch.randint(256, (size, *job.card.preprocessing.size, 3), dtype=torch.uint8, generator=generator)
    places = _spread(len(job.train), size)
    return Batch(images, torch.from_numpy(job.train.labels[places]), torch.from_numpy(places), 0, [])


def _load_seconds(views: Views, job: Job, *, keeps: bool) -> tuple[float, float]:
    """Of one image, and of one that is found decoded where decoded images are kept."""
    places = _spread(len(views), min(_IMAGES, len(views))).tolist()
    seconds: dict[int, float] = {}
    for place in places:
        began = time.perf_counter()
        try:
            views.image(place, 0)
        except DataError:
            continue
        seconds[place] = time.perf_counter() - began
    if not seconds:
        raise DataError(f"{job.train.name}: none of {len(places)} images that were tried can be decoded.")
    loading = median(seconds.values())
    if not keeps:
        return loading, loading
    decoded = [views.decoded[place] for place in seconds]
    kept = build_views(replace(job, train=replace(job.train.subset(list(seconds)), images=decoded)))
    return loading, _median_seconds(lambda number: kept.image(number % len(kept), 0))


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
