"""Where a step's teacher outputs come from."""

import contextlib
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from rich.console import Console
from torch import Tensor

from ...runtime.datasets import UNKNOWN
from ..data.loader import Batch
from ..data.views import Views
from ..models import TeacherModel
from ..models.output import ModelOutput
from .job import Job
from .optimize import choose_dtype, choose_format
from .world import World


class Teacher(Protocol):
    """What a step asks for."""

    def __call__(self, batch: Batch, images: Tensor, targets: Tensor) -> ModelOutput:
        """The teacher's outputs, without a graph.

        Args:
            batch: says which samples and view these are.
            images: the batch's images on the training's device, uint8 (B, H, W, 3).
            targets: the batch's targets there, int8 (B, C).
        """


class TeacherSource(Protocol):
    """What a training is given: a teacher that it opens once it knows its device, views and processes."""

    def open(self, job: Job, views: Views, device: torch.device, world: World, console: Console) -> Teacher:
        """What the job's steps ask; every process of `world` calls it.

        Args:
            job: the training.
            views: what it shows of its images.
            device: where it runs.
            world: the processes that share it.
            console: for what takes long.
        """

    def live(self, job: Job, device: torch.device) -> Teacher:
        """The teacher as it would be asked at every step, whatever is stored of it."""

    def stored_views(self, job: Job, views: Views) -> int:
        """Of how many views of each image its outputs would be stored first; 0: it is asked at every step."""


def autocast(device: torch.device, dtype: torch.dtype | None) -> contextlib.AbstractContextManager[Any]:
    """Autocast to `dtype`, or nothing for None (float32)."""
    return contextlib.nullcontext() if dtype is None else torch.autocast(device.type, dtype)


@dataclass(frozen=True)
class LiveTeacher:
    """Runs the network.

    Attributes:
        model: in eval mode, without gradients, on `device`.
        dtype: of autocast, or None for float32; it may gain from half precision where the student does not.
    """

    model: TeacherModel
    device: torch.device
    dtype: torch.dtype | None

    def __call__(self, batch: Batch, images: Tensor, targets: Tensor) -> ModelOutput:
        """One forward pass."""
        with torch.no_grad(), autocast(self.device, self.dtype):
            return self.model(self.model.normalize(images))


@dataclass(frozen=True)
class HeardTeacher:
    """A teacher that does not speak exactly where labels are known.

    Attributes:
        teacher: gives the outputs.
        distils: whether it speaks where a label is unknown.
        silent: bool (C,), classes that it never speaks of, or (N, C), by image of the data set too; None: there are
            none.
    """

    teacher: Teacher
    distils: bool
    silent: Tensor | None = None

    def __call__(self, batch: Batch, images: Tensor, targets: Tensor) -> ModelOutput:
        """The outputs, with `targets`."""
        output, heard = self.teacher(batch, images, targets), targets
        if self.distils:
            decided = (output.logits > 0).to(targets.dtype)
            unseen = batch.blank.to(targets.device, non_blocking=True)[:, None]
            heard = torch.where((targets == UNKNOWN) & ~unseen, decided, targets)
        if self.silent is not None:
            silent = self.silent if self.silent.ndim == 1 else self.silent[batch.indices]
            heard = heard.masked_fill(silent.to(targets.device, non_blocking=True), UNKNOWN)
        output.targets = heard
        return output


def heard_as(job: Job, teacher: Teacher, silent: Tensor | None = None) -> Teacher:
    """The teacher as the job's terms hear it; `silent` as HeardTeacher's."""
    distils = job.unknown == "distil"
    return HeardTeacher(teacher, distils, silent) if distils or silent is not None else teacher


@dataclass(frozen=True)
class LiveSource:
    """A network that is run at every step.

    Attributes:
        network: takes normalised images, has `normalize`, and returns a ModelOutput.
    """

    network: TeacherModel

    def open(self, job: Job, views: Views, device: torch.device, world: World, console: Console) -> Teacher:
        """See `TeacherSource`."""
        return heard_as(job, self.live(job, device))

    def live(self, job: Job, device: torch.device) -> LiveTeacher:
        """The network, frozen, on `device`, in the precision that suits it."""
        settings = job.settings
        network = self.network.to(device, memory_format=choose_format(settings, device))  # type: ignore[call-overload]  # its stub
        network = network.eval().requires_grad_(False)
        return LiveTeacher(network, device, choose_dtype(settings, network, device))

    def stored_views(self, job: Job, views: Views) -> int:
        """None."""
        return 0
