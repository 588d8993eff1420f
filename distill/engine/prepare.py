"""Everything that a job's loop needs, built or restored."""

import os

import torch
from rich.console import Console
from torch import nn
from torch.optim.swa_utils import AveragedModel

from ...runtime.errors import ConfigError
from ..data.loader import EpochSampler, Share
from ..methods.part import Part
from ..models import Classifier
from .averaging import MovingAverage
from .batchnorm import require_more_than_one_image, synchronise_batchnorm
from .folder import record_start, require_agreement, require_room
from .groups import Freezing
from .images import build_views, open_loader, tell_disk_cache, tell_unknown, validation_images
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
from .prepared import Prepared, share
from .relations import blank_pair, find_relations, tell_relations
from .settings import TrainSettings
from .state import TrainState
from .step import Step
from .stopwatch import Stopwatch
from .teachers import Teacher, TeacherSource
from .world import World


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
    world.together(lambda: require_room(job, network) if world.is_main else None)
    set_backends(settings)
    torch.manual_seed(job.seed)
    if settings.sync_batchnorm and world.size > 1:
        synchronise_batchnorm(network, device)
    views = build_views(job)
    tell_disk_cache(job, views.decoded, console, world)
    mine = Share(world.rank, world.size, settings.accumulate)
    balance = job.train.labels if settings.sampler == "balanced" else None
    sampler = EpochSampler(views, settings.batch_size, job.seed, mine, balance)
    check_pieces(job, network, sampler.batch_size, world)
    freezing = Freezing(model, part, settings.parts)
    if not freezing.learns(0):
        raise ConfigError(f"{job.title}: `parts` freezes all that it has at once: leave a part that learns.")
    state = build_state(model, settings, device, len(sampler) * settings.epochs, part)
    continued = job.last.is_file()
    world.together(lambda: state.restore(job.last, job.identity) if continued else None)
    world.together(lambda: record_start(job, device, console, world, continued=continued))
    require_agreement(job, state, world)
    freezing.apply(state.epoch)
    tell_unknown(job, sampler.batch_size, console, world, taught=teacher is not None)
    ended = state.epoch >= settings.epochs
    asked = None if teacher is None or ended else teacher.open(job, views, device, world, console)
    relations = frozenset() if ended else find_relations(job, state.trained, asked, world, blank_pair(job))
    tell_relations(job, relations, console, world)
    step = build_step(job, settings, state, asked, relations=relations, world=world)
    loader = open_loader(job, views, sampler, device=device, console=console, world=world, ended=ended)
    return Prepared(state, step, sampler, loader, settings.accumulate, freezing, validation_images(job, world))


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


def build_step(
    job: Job,
    settings: TrainSettings,
    state: TrainState,
    teacher: Teacher | None,
    *,
    relations: frozenset[str],
    world: World,
) -> Step:
    """What takes the job's steps, compiled where the settings, in which nothing is open, say so."""
    device = choose_device()
    if settings.compile:
        state.model.compile()
        if state.part is not None:
            state.part.compile()
    return Step(
        state=state,
        network=share(state.trained, device, world),
        teacher=teacher,
        method=job.method,
        settings=settings,
        device=device,
        world=world,
        stopwatch=Stopwatch(device),
        seed=job.seed,
        relations=relations,
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
