"""A network as a training's teacher, whose outputs are stored where that pays."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from torch import Tensor, nn

from ..data.loader import Batch
from ..data.views import Views
from ..engine.job import Job
from ..engine.optimize import choose_device
from ..engine.teachers import LiveSource, LiveTeacher, Teacher, heard_as
from ..engine.world import World
from ..models import MappedNetwork, OutsideNetwork, ResizedInput, TeacherModel
from ..models.output import ModelOutput
from .cached import CachedTeacher
from .fields import fields_for
from .forward import TeacherRows
from .layout import Layout, StorageOrder
from .opening import open_or_build
from .spec import CHUNK, CacheSpec, teacher_digest
from .store import Store


@dataclass(frozen=True)
class StoredTeacher:
    """Reads what the network said about the same views before.

    Attributes:
        cache: its outputs.
    """

    cache: CachedTeacher

    def __call__(self, batch: Batch, images: Tensor, targets: Tensor) -> ModelOutput:
        """One read of the batch's rows."""
        return self.cache(batch.indices, batch.view, batch.blank)


class PlannedCache(NamedTuple):
    """What a training would store.

    Attributes:
        layout: of all of it.
        folder: where; None where it follows from weights that are still to be learned.
        sound_bytes: of it, which are there.
    """

    layout: Layout
    folder: Path | None
    sound_bytes: int


@dataclass(frozen=True)
class CachedSource:
    """A network whose outputs on a job's views are computed once and shared by runs, in `teachers` of its caches.

    Attributes:
        network: takes normalised images, has `normalize`, and returns a ModelOutput.
        store: whether that is done; None: where a view is shown more than once.
    """

    network: TeacherModel
    store: bool | None = None

    def open(self, job: Job, views: Views, device: torch.device, world: World, console: Console) -> Teacher:
        """See `TeacherSource`; raises as `open_or_build`."""
        live = self.live(job, device)
        if not self.stored_views(job, views):
            return heard_as(job, live, self.silent)
        cache = open_or_build(
            root_of(job),
            self.network,
            job.train,
            views,
            job.method.needs,
            epochs=job.settings.epochs,
            device=device,
            dtype=live.dtype,
            batch_size=max(64, job.settings.batch_size),
            workers=job.settings.workers,
            console=console,
            world=world,
            max_bad_share=job.max_bad_share,
        )
        return heard_as(job, StoredTeacher(cache), self.silent)

    def planned(self, job: Job, views: Views, *, final: bool) -> PlannedCache | None:
        """What a training would store, and what of it is there; None where it stores nothing. Nothing is written.

        Args:
            job: the training.
            views: what it shows of its images.
            final: whether the network has its final weights.
        """
        count = self.stored_views(job, views)
        if not count:
            return None
        dtype = self.live(job, choose_device()).dtype
        return plan_cache(self.network, job, views, count=count, needs=job.method.needs, dtype=dtype, final=final)

    def live(self, job: Job, device: torch.device) -> LiveTeacher:
        """See `TeacherSource`."""
        return LiveSource(self.network).live(job, device)

    def stored_views(self, job: Job, views: Views) -> int:
        """See `TeacherSource`."""
        if job.settings.mix is not None:
            return 0  # a view is mixed with another image's, of which no outputs are stored
        count, epochs = views.count, job.settings.epochs
        store = self.store
        if store is None:
            store = count is not None and count < epochs and "stages" not in job.method.needs
        return (count or epochs) if store else 0

    @property
    def silent(self) -> Tensor | None:
        """The classes that the network says nothing of; None where there are none."""
        return silent_of(self.network.network if isinstance(self.network, ResizedInput) else self.network)

    def identity(self) -> list[Any]:
        """Plain data that decides what a student learns from it."""
        return [teacher_digest(self.network), self.store]


def root_of(job: Job) -> Path:
    """The folder of all teacher caches that a job reads."""
    return job.cache_folder / "teachers"


def silent_of(network: nn.Module) -> Tensor | None:
    """The classes that a network says nothing of, bool (C,); None where there are none."""
    silent = network.silent if isinstance(network, MappedNetwork | OutsideNetwork) else None
    return silent if silent is not None and bool(silent.any()) else None


def plan_cache(
    network: nn.Module,
    job: Job,
    views: Views,
    *,
    count: int,
    needs: frozenset[str],
    dtype: torch.dtype | None,
    final: bool,
) -> PlannedCache:
    """What would be stored of a network's outputs, and what of it is there; nothing is written.

    Args:
        network: takes normalised images, has `normalize`, and returns a ModelOutput.
        job: the training.
        views: what the network is shown of the training's images.
        count: of views.
        needs: what is stored beyond logits.
        dtype: of the network's autocast, or None for float32.
        final: whether the network has its final weights.
    """
    fields, root = fields_for(needs), root_of(job)
    shapes = TeacherRows(network, fields, choose_device(), dtype).shapes(views.decoded.preprocessing.size)
    layout = Layout(StorageOrder.of(job.train), count, shapes, CHUNK)
    if not final:
        return PlannedCache(layout, None, 0)
    spec = CacheSpec.of(
        network, job.train, root=root, transform=views.transform, fields=fields, dtype=dtype, remember=False
    )
    folder = root / spec.digest()
    sound = Store(folder, layout).check(layout.numbers).sound if folder.is_dir() else {}
    rows = [(field, layout.rows(field, layout.chunks[number])) for number in sound for field in fields]
    there = sum((found.stop - found.start) * layout.row_bytes(field) for field, found in rows)
    return PlannedCache(layout, folder, there)
