"""Everything that a job's loop needs, built or restored."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from ...runtime.datasets import UNKNOWN
from ...runtime.errors import ConfigError, EdgedistillError
from ...runtime.files import require_space, write_atomic
from ..data.decoded import DecodedImages
from ..data.loader import Batch, EpochSampler, Share, choose_workers, training_loader
from ..data.on_device import DeviceLoader, device_images, fits_device, nbytes
from ..data.views import Views
from ..methods.part import Part
from ..models import Classifier
from .averaging import MovingAverage
from .batchnorm import require_more_than_one_image, synchronise_batchnorm
from .environment import describe_environment, store_environment
from .evaluate import share_of
from .groups import Freezing
from .job import Job
from .memory import keep_freed_memory
from .network import TrainedNetwork
from .optimize import (
    build_optimizer,
    build_schedule,
    choose_device,
    choose_dtype,
    choose_format,
    refuse_crash,
    settle_format,
)
from .relations import relating_terms
from .settings import TrainSettings
from .state import TrainState
from .step import Step
from .stopwatch import Stopwatch
from .teachers import Teacher, TeacherSource
from .world import World

_FLOAT = 4
ENVIRONMENT = "environment.json"


@dataclass(frozen=True)
class Prepared:
    """A job, ready to be run.

    Attributes:
        state: its moving parts.
        step: takes one optimiser step.
        sampler: the order; its `epoch` and `start` are to be set.
        loader: follows the sampler.
        pieces: batches of this process per step.
        freezing: of the network's parts.
        validation: what this process evaluates.
    """

    state: TrainState
    step: Step
    sampler: EpochSampler
    loader: "DataLoader[Batch] | DeviceLoader"
    pieces: int
    freezing: Freezing
    validation: DecodedImages

    def freeze(self) -> None:
        """Hold still what the settings freeze in the epoch that the state stands in, of a network in training mode."""
        if self.freezing.apply(self.state.epoch):
            self.step.network = share(self.state.trained, self.step.device, self.step.world)

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole training."""
        return len(self.sampler) * self.step.settings.epochs

    def images(self) -> Iterator[Tensor]:
        """All images of this process in the epoch that was just trained, normalised, without labels or gradients."""
        self.sampler.epoch, self.sampler.start = self.state.epoch - 1, 0
        memory_format = choose_format(self.step.settings, self.step.device)
        for batch in self.loader:
            pixels = batch.images.to(self.step.device, non_blocking=True)
            yield self.state.model.normalize(pixels).contiguous(memory_format=memory_format)

    def steps(self) -> Iterator[list[Batch]]:
        """What is left of the epoch that the state stands in."""
        self.sampler.epoch, self.sampler.start = self.state.epoch, self.state.batch
        batches = iter(self.loader)
        while pieces := list(islice(batches, self.pieces)):
            yield pieces


def prepare(
    job: Job,
    model: Classifier,
    teacher: TeacherSource | None,
    console: Console,
    world: World,
    *,
    part: Part | None = None,
) -> Prepared:
    """Build optimiser, loader and teacher; restore the state where the job stopped before.

    Raises:
        ConfigError: a step cannot be shared out, or leaves a BatchNorm one image, or all is frozen.
        CheckpointError: last.ckpt is damaged or belongs to another recipe.
        EdgedistillError: the folder cannot be written, or will be too small.
    """
    device = choose_device()
    settings = settle_format(job.settings, model, device, job.card.preprocessing.size)
    network = TrainedNetwork(model, part)
    world.together(lambda: _require_folder(job, network) if world.is_main else None)
    set_backends(settings)
    torch.manual_seed(job.seed)
    if settings.sync_batchnorm and world.size > 1:
        synchronise_batchnorm(network, device)
    views = build_views(job)
    _tell_disk_cache(job, views.decoded, console, world)
    parts = Share(world.rank, world.size, settings.accumulate)
    balance = job.train.labels if settings.sampler == "balanced" else None
    sampler = EpochSampler(views, settings.batch_size, job.seed, parts, balance)
    check_pieces(job, network, sampler.batch_size, world)
    freezing = Freezing(model, part, settings.parts)
    if not freezing.learns(0):
        raise ConfigError(f"{job.title}: `parts` freezes all that it has at once: leave a part that learns.")
    state = build_state(model, settings, device, len(sampler) * settings.epochs, part)
    continued = job.last.is_file()
    world.together(lambda: state.restore(job.last, job.identity) if continued else None)
    world.together(lambda: _record(job, device, console, world, continued=continued))
    _require_agreement(job, state, world)
    freezing.apply(state.epoch)
    _tell_unknown(job, sampler.batch_size, console, world, taught=teacher is not None)
    ended = state.epoch >= settings.epochs
    asked = None if teacher is None or ended else teacher.open(job, views, device, world, console)
    relations = frozenset() if ended else find_relations(job, state.trained, asked, world, _blank_pair(job))
    _tell_relations(job, relations, console, world)
    if settings.compile:
        model.compile()
        if part is not None:
            part.compile()
    step = Step(
        state=state,
        network=share(state.trained, device, world),
        teacher=asked,
        method=job.method,
        settings=settings,
        device=device,
        world=world,
        stopwatch=Stopwatch(device),
        seed=job.seed,
        relations=relations,
    )
    loader = _open_loader(job, views, sampler, device=device, console=console, world=world, ended=ended)
    return Prepared(state, step, sampler, loader, settings.accumulate, freezing, validation_images(job, world))


def _open_loader(
    job: Job,
    views: Views,
    sampler: EpochSampler,
    *,
    device: torch.device,
    console: Console,
    world: World,
    ended: bool,
) -> "DataLoader[Batch] | DeviceLoader":
    """Batches from the device's own memory where the images are kept there, else from loading processes."""
    settings = job.settings
    if ended or not fits_device(settings.decoded_cache, views, device, settings.mix, job.title):
        return training_loader(job.train, views, sampler, workers=settings.workers, device=device, mix=settings.mix)
    if world.is_main:
        console.print(
            f"{job.title}: {len(views):,} decoded images, {nbytes(views.decoded) / 1e9:.2g} GB, are kept in the memory "
            f"of {device} (`decoded_cache: memory`, `disk` or `off` keeps them elsewhere)",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    images = device_images(views.decoded, device, choose_workers(job.train, settings.workers, device))
    return DeviceLoader(job.train, images, views, sampler, workers=settings.workers)


def set_backends(settings: TrainSettings) -> None:
    """PyTorch's global switches, and the C library's for tensors in main memory."""
    keep_freed_memory()
    torch.use_deterministic_algorithms(settings.deterministic)
    torch.backends.cudnn.benchmark = not settings.deterministic
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def check_pieces(job: Job, model: nn.Module, batch_size: int, world: World) -> None:
    """Raise ConfigError where a piece of a step is a single image and `model`, put in training mode, has BatchNorms.

    Args:
        job: whose settings say how a step is shared out.
        model: to be trained.
        batch_size: images of a step, fewer than the settings' where there are fewer images.
        world: the processes.
    """
    pieces = job.settings.accumulate
    seen = batch_size // pieces // (1 if job.settings.sync_batchnorm else world.size)
    shared = f" x {world.size} processes" if world.size > 1 else ""
    few = f" of the {len(job.train)}" if batch_size < job.settings.batch_size else ""
    parts = f"a step of {batch_size}{few} images, `accumulate` {pieces}{shared}"
    require_more_than_one_image(model.train(), seen, parts, job.title)


def build_views(job: Job) -> Views:
    """The views that the job trains on."""
    settings = job.settings
    decoded = DecodedImages(
        job.train,
        job.card.preprocessing,
        decode=settings.decode,
        cache=settings.decoded_cache,
        folder=job.cache_folder / "images",
        passes=settings.epochs,
    )
    seed = job.seed if settings.view_seed is None else settings.view_seed
    return Views(
        job.train,
        decoded,
        settings.augment,
        seed=seed,
        count=settings.views,
        mixed=settings.mix is not None,
        where=job.title,
    )


def validation_images(job: Job, world: World) -> DecodedImages:
    """What this process evaluates of the validation part, decoded as on a device and kept between the epochs."""
    return DecodedImages(
        share_of(job.validation, world),
        job.card.preprocessing,
        decode="full",
        cache=job.settings.decoded_cache,
        folder=job.cache_folder / "images",
        passes=-(-job.settings.epochs // job.settings.evaluate_every),
        part="validation",
    )


def build_state(
    model: Classifier,
    settings: TrainSettings,
    device: torch.device,
    total_steps: int,
    part: Part | None = None,
) -> TrainState:
    """`model` and `part` on `device`, with the optimiser, schedule, scaler and moving average that the settings name.

    Raises:
        ConfigError: PyTorch would crash in that memory format.
    """
    network = TrainedNetwork(model, part)
    refuse_crash(network, settings, device)
    network.to(device, memory_format=choose_format(settings, device))  # type: ignore[call-overload]  # its stub
    optimizer = build_optimizer(model, settings, device, part)
    return TrainState(
        model,
        MovingAverage(model, settings.ema) if settings.ema is not None else None,
        AveragedModel(model) if settings.swa is not None else None,
        optimizer,
        build_schedule(optimizer, settings, total_steps),
        torch.amp.GradScaler(device.type, enabled=choose_dtype(settings, model, device) is torch.float16),
        part=part,
    )


def _tell_disk_cache(job: Job, images: DecodedImages, console: Console, world: World) -> None:
    """Say what was chosen by itself to be written for good."""
    if world.is_main and job.settings.decoded_cache == "auto" and images.cache == "disk":
        console.print(
            f"{job.title}: {images.cache_bytes / 1e9:.2g} GB of decoded images are kept for later epochs and runs in "
            f"{job.cache_folder / 'images'} (`decoded_cache: off` keeps none)",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def _require_folder(job: Job, model: nn.Module) -> None:
    """Tell before hours are spent that the files will not fit: weights, two moments, an average, old and new."""
    weights = sum(parameter.numel() for parameter in model.parameters()) * _FLOAT
    networks = 3 + (job.settings.ema is not None) + (job.settings.swa is not None)
    require_space(job.folder, 2 * weights * networks + 2 * weights)


def _record(job: Job, device: torch.device, console: Console, world: World, *, continued: bool) -> None:
    if not world.is_main:
        return
    for path, text in job.records.items():
        write_atomic(path, text)
    environment = describe_environment(device, world, (job.train, job.validation))
    changed = store_environment(job.folder / ENVIRONMENT, environment)
    if continued and changed:
        console.print(
            f"{job.title}: continued with a difference ({'; '.join(changed)}): the last bits may differ from those of "
            "a run in one piece.",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def _require_agreement(job: Job, state: TrainState, world: World) -> None:
    """All processes train the same job, from the same step, in a folder that all of them see."""
    here = (job.identity, state.epoch, state.batch, (job.folder / ENVIRONMENT).is_file())
    if any(there != here for there in world.gather(here)):
        raise EdgedistillError(
            f"{job.folder}: the processes do not see the same files there. The run folder (`output:`), the data and "
            "the recipe must be on a disk that all of them share."
        )


def find_relations(
    job: Job, model: TrainedNetwork, teacher: Teacher | None, world: World, batch: Batch
) -> frozenset[str]:
    """Names of the terms that relate images; none where a step is one part, to which that makes no difference."""
    if job.settings.accumulate * world.size == 1:
        return frozenset()
    return relating_terms(job.method, model, teacher, batch)


def _blank_pair(job: Job) -> Batch:
    """The first two images of the training part as far as a teacher that was asked before knows them."""
    labels = torch.from_numpy(job.train.labels[:2])
    blank = torch.zeros(len(labels), *job.card.preprocessing.size, 3, dtype=torch.uint8)
    return Batch(blank, labels, torch.arange(len(labels)), 0, [])


def told_relations(settings: TrainSettings, relations: frozenset[str], world: World) -> str:
    """A sentence on what terms that relate images cost in pieces, and see of a step; empty without any."""
    if not relations:
        return ""
    names, parts = ", ".join(sorted(relations)), []
    if settings.accumulate > 1:
        parts.append(
            f"`accumulate: {settings.accumulate}`: {names} relate the images of a whole step, so every piece runs "
            "through the student twice, which costs one more forward pass"
        )
    if world.size > 1 and settings.relations == "local":
        parts.append(
            f"`relations: local`: {names} see {settings.batch_size // world.size} images at a time, not the whole "
            f"batch of {settings.batch_size}"
        )
    return "; ".join(parts)


def _tell_relations(job: Job, relations: frozenset[str], console: Console, world: World) -> None:
    told = told_relations(job.settings, relations, world)
    if told:
        console.print(f"{job.title}: {told}.", markup=False, highlight=False, soft_wrap=True)


def _tell_unknown(job: Job, batch_size: int, console: Console, world: World, *, taught: bool) -> None:
    """Say what images of which no label is known mean, which no term's value shows."""
    images, unknown = len(job.train), int((job.train.labels == UNKNOWN).all(axis=1).sum())
    if not unknown or not world.is_main:
        return
    line = f"{job.title}: no label is known of {unknown:,} of {images:,} training images"
    if not taught:
        line += ": they teach nothing."
    elif job.unknown == "ignore":
        line += ": terms against labels and teacher are 0 there (`data.unknown: distil` lets the teacher speak)."
    else:
        labelled = batch_size * (images - unknown) / images
        line += f", which the teacher alone teaches; of a step's {batch_size} images about {labelled:.3g} have labels."
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def share(model: nn.Module, device: torch.device, world: World) -> nn.Module:
    """The network as several processes train it: gradients of what is not frozen now are averaged."""
    if world.size == 1:
        return model
    return DistributedDataParallel(model, device_ids=[device.index] if device.type == "cuda" else None)
