"""The training loop: one page, the same for every model and method."""

import contextlib
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from rich.console import Console
from timm.utils import ModelEmaV3
from torch import Tensor

from ...runtime import metrics
from ...runtime.batches import tolerated
from ...runtime.datasets import Dataset
from ...runtime.errors import DataError, EdgedistillError, InterruptedRunError
from ..checkpoint import ModelCard, save_student
from ..data.augment import build_augmentations
from ..data.loader import Batch, training_loader
from ..methods import Method, TrainingContext
from ..models import Classifier
from .evaluate import predict_logits
from .interrupt import catch_interrupt
from .journal import Journal
from .optimize import build_optimizer, build_schedule, choose_device, choose_dtype
from .progress import TrainingProgress
from .settings import TrainSettings
from .state import TrainState
from .step import Step


@dataclass(frozen=True)
class Job:
    """One training, completely described.

    Attributes:
        title: for progress.
        folder: where last.ckpt, metrics.jsonl, TensorBoard events and the checkpoint go.
        checkpoint: file name of the best weights, e.g. "student.safetensors".
        card: what the checkpoint says about itself; thresholds and metrics are filled in.
        train: the training part.
        validation: selects the epoch and the thresholds.
        method: the objective.
        settings: hyper-parameters.
        seed: of order, augmentation and dropout.
        identity: hash of everything that may not change when the run is continued.
        max_bad_share: share of undecodable images at which the run stops.
    """

    title: str
    folder: Path
    checkpoint: str
    card: ModelCard
    train: Dataset
    validation: Dataset
    method: Method
    settings: TrainSettings
    seed: int
    identity: str
    max_bad_share: float = 0.01

    @property
    def last(self) -> Path:
        return self.folder / "last.ckpt"


def fit(job: Job, model: Classifier, teacher: Classifier | None, console: Console) -> Path:
    """Train `model`, or continue where the same job stopped; returns the best checkpoint's path.

    Raises:
        InterruptedRunError: Ctrl-C or SIGTERM; last.ckpt holds the step just finished.
        CheckpointError: last.ckpt is damaged or belongs to another recipe.
        DataError: too many images cannot be decoded.
        EdgedistillError: a loss term stopped being finite.
    """
    if not (job.validation.labels == 1).any():
        raise DataError(f"{job.validation.name}: no image carries a label, so no epoch could be selected by mAP.")
    settings, device = job.settings, choose_device()
    job.folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(job.seed)
    model = model.to(device)
    teacher = teacher.to(device).eval().requires_grad_(False) if teacher is not None else None
    dtype = choose_dtype(settings, model, device)
    loader, sampler = training_loader(
        job.train,
        job.card.preprocessing,
        build_augmentations(settings.augment, job.card.preprocessing.size, where=job.title),
        batch_size=settings.batch_size,
        seed=job.seed,
        workers=settings.workers,
        device=device,
    )
    total_steps = len(sampler) * settings.epochs
    optimizer = build_optimizer(model, settings, device)
    state = TrainState(
        model,
        ModelEmaV3(model, decay=settings.ema, use_warmup=True) if settings.ema is not None else None,
        optimizer,
        build_schedule(optimizer, settings, total_steps),
        torch.amp.GradScaler(device.type, enabled=dtype is torch.float16),
    )
    teacher_dtype = choose_dtype(settings, teacher, device) if teacher is not None else None
    take_step = Step(state, teacher, job.method, settings, device, dtype, teacher_dtype)
    if job.last.is_file():
        state.restore(job.last, job.identity)

    with (
        catch_interrupt(lambda: console.print("stopping after this step; again to stop at once")) as interrupt,
        TrainingProgress(job.title, total_steps, console) as progress,
        contextlib.closing(Journal(job.folder, state.epoch)) as journal,
    ):
        while state.epoch < settings.epochs:
            sampler.epoch, sampler.start = state.epoch, state.batch
            sums, started, steps = defaultdict[str, Any](float), time.perf_counter(), 0
            model.train()
            for batch in loader:
                step = state.epoch * len(sampler) + state.batch
                context = TrainingContext(epoch=state.epoch, step=step, total_steps=total_steps)
                for name, term in take_step(batch, context).items():
                    sums[name] += term
                state.batch, steps = state.batch + 1, steps + 1
                _note_bad(job, state, batch)
                progress.step(step + 1, best=state.best)
                if interrupt:
                    state.save(job.last, job.identity)
                    raise _interrupted(job, step + 1, total_steps)
            seconds = time.perf_counter() - started
            record = {
                "epoch": state.epoch,
                "terms": _means(job, sums, steps, state.epoch),
                "lr": state.schedule.get_last_lr()[0],
                "images_per_second": steps * sampler.batch_size / seconds,
            }
            state.epoch, state.batch = state.epoch + 1, 0
            if state.epoch % settings.evaluate_every == 0 or state.epoch == settings.epochs:
                _evaluate(job, state, record)
            state.history.append(record)
            state.save(job.last, job.identity)
            journal.write(state.history)
            progress.epoch(record, settings.epochs)
            if interrupt:
                raise _interrupted(job, state.epoch * len(sampler), total_steps)
    if state.skipped:
        names = ", ".join(list(state.skipped.values())[:3])
        console.print(f"{job.title}: {len(state.skipped)} undecodable images skipped ({names}, ...)", highlight=False)
    return job.folder / job.checkpoint


def _interrupted(job: Job, step: int, total_steps: int) -> InterruptedRunError:
    return InterruptedRunError(
        f"{job.title}: stopped after step {step} of {total_steps}; saved in {job.last}. The same command continues."
    )


def _means(job: Job, sums: dict[str, Tensor], steps: int, epoch: int) -> dict[str, float]:
    means = {name: float(total) / steps for name, total in sums.items()}
    broken = [name for name, value in means.items() if not abs(value) < float("inf")]
    if broken:
        raise EdgedistillError(
            f"{job.title}: the term {broken[0]!r} stopped being finite in epoch {epoch + 1}. Lower `lr`, set "
            "`clip_grad_norm: 1.0` or `precision: fp32`; the last good checkpoint is kept."
        )
    return means


def _evaluate(job: Job, state: TrainState, record: dict[str, Any]) -> None:
    """Score the validation part; a better mAP replaces the checkpoint."""
    outputs = predict_logits(state.evaluated, job.validation, job.card.preprocessing, max_bad_share=job.max_bad_share)
    found = metrics.evaluate(outputs.scores, outputs.dataset.labels)
    record["val_mAP"] = found["mAP"]
    if found["mAP"] > state.best:
        state.best = found["mAP"]
        thresholds = metrics.best_thresholds(outputs.scores, outputs.dataset.labels)
        card = msgspec.structs.replace(
            job.card,
            thresholds=tuple(float(t) for t in thresholds),
            metrics={key: float(found[key]) for key in ("mAP", "OF1", "CF1")} | {"epoch": float(record["epoch"] + 1)},
        )
        save_student(job.folder / job.checkpoint, state.evaluated, card)


def _note_bad(job: Job, state: TrainState, batch: Batch) -> None:
    """Remember images that could not be decoded; past the set share the run stops."""
    for index in batch.bad:
        state.skipped[index] = job.train.ids[index]
    if len(state.skipped) > tolerated(len(job.train), job.max_bad_share):
        names = ", ".join(list(state.skipped.values())[:3])
        raise DataError(
            f"{job.train.name}: {len(state.skipped)} of {len(job.train)} images cannot be decoded ({names}, ...), more "
            f"than max_bad_share {job.max_bad_share:g} allows. Repair them or raise `data.max_bad_share`."
        )
