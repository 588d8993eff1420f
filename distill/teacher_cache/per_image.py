"""A network that is asked once about each whole image, before the training, and about no view of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn

from ...runtime.preprocess import Preprocessing
from ..data.decoded import DecodedImages
from ..data.views import Views
from ..engine.job import Job
from ..engine.optimize import choose_device
from ..engine.teachers import LiveSource, LiveTeacher, Teacher, heard_as
from ..engine.views_at_test import ViewAtTest, views_at_test
from ..engine.world import World
from ..models import ResizedInput, TeacherModel
from ..models.output import ModelOutput
from .opening import open_or_build
from .scores import MirroringScoresTeacher, ScoresTeacher
from .source import PlannedCache, plan_cache, root_of, silent_of
from .spec import teacher_digest

_LOGITS_ALONE: frozenset[str] = frozenset()


class AveragedViews(nn.Module):
    """A network whose logits are the mean over views of each image; it takes pixels and normalises them itself.

    Args:
        network: takes normalised images, has `normalize`, and returns a ModelOutput.
        tta: the views, see `views_at_test`.
    """

    def __init__(self, network: TeacherModel, tta: Sequence[ViewAtTest]) -> None:
        super().__init__()
        self.network, self.tta = network, tuple(tta)
        self.eval()

    def normalize(self, images: Tensor) -> Tensor:
        """The images as they are, uint8 (B, H, W, 3)."""
        return images

    def forward(self, images: Tensor) -> ModelOutput:
        """Logits alone, float32 (B, C)."""
        logits = [self.network(self.network.normalize(view)).logits.float() for view in views_at_test(images, self.tta)]
        return ModelOutput(torch.stack(logits).mean(dim=0))

    def extra_repr(self) -> str:
        """What decides the outputs beside the network."""
        return f"tta={self.tta}"


class WholeImages(Views):
    """Images as they are decoded: view 0 shows each of them, view 1 its mirror image.

    Args:
        decoded: all of them.
        job: the training that they belong to.
        mirrored: whether there is a view 1.
    """

    def __init__(self, decoded: DecodedImages, job: Job, *, mirrored: bool) -> None:
        super().__init__(job.train, decoded, [], seed=0)
        self.count = 2 if mirrored else 1

    @property
    def transform(self) -> dict[str, Any]:
        """See `Views`."""
        return {**super().transform, "second view": "mirrored"}

    def image(self, index: int, view: int) -> Tensor:
        """See `Views`."""
        pixels = super().image(index, 0)
        return pixels.flip(1) if view else pixels


@dataclass(frozen=True)
class PerImageSource:
    """A network as a training's teacher that says once what each image holds, whatever view of it a step shows.

    So it may be asked slowly: about a larger image than the student sees, with all its detail, and about several views
    of it. What it says of the mirrored image is heard where `flip` mirrors the student's. Its answers are stored as
    those of `CachedSource` are.

    Attributes:
        network: takes normalised images, has `normalize`, and returns a ModelOutput.
        preprocessing: image file -> what it is shown.
        tta: the views whose mean is taken, see `views_at_test`.
    """

    network: TeacherModel
    preprocessing: Preprocessing
    tta: tuple[ViewAtTest, ...] = ()

    @cached_property
    def asked(self) -> AveragedViews:
        """The network as it is asked."""
        return AveragedViews(self.network, self.tta)

    @property
    def silent(self) -> Tensor | None:
        """The classes that the network says nothing of; None where there are none."""
        return silent_of(self.network)

    def open(self, job: Job, views: Views, device: torch.device, world: World, console: Console) -> Teacher:
        """See `TeacherSource`; raises as `open_or_build`, and ConfigError where `flip` follows what draws by pixels."""
        shown = self.images(job, views)
        if shown.count == 2 and len(views):
            views.is_mirrored(0, 0)  # what refuses is told before the teacher is asked
        cache = open_or_build(
            root_of(job),
            self.asked,
            job.train,
            shown,
            _LOGITS_ALONE,
            epochs=1,
            device=device,
            dtype=self._live(job, device).dtype,
            batch_size=max(64, job.settings.batch_size),
            workers=job.settings.workers,
            console=console,
            world=world,
            max_bad_share=job.max_bad_share,
        )
        everything = torch.arange(len(job.train))
        plain, *mirrored = (cache.read(everything, view).logits.cpu() for view in range(shown.count or 1))
        reader: Teacher = ScoresTeacher(plain)
        if mirrored:
            reader = MirroringScoresTeacher(ScoresTeacher(plain), mirrored[0], views)
        silent = None if self.silent is None else self.silent.cpu()
        if cache.undecodable:  # it says nothing of them, also where a step shows them after all
            unseen = torch.zeros(plain.shape, dtype=torch.bool)
            unseen[cache.undecodable] = True
            silent = unseen if silent is None else unseen | silent
        return heard_as(job, reader, silent)

    def planned(self, job: Job, views: Views, *, final: bool) -> PlannedCache:
        """As that of `CachedSource`."""
        shown, dtype = self.images(job, views), self._live(job, choose_device()).dtype
        count = self.stored_views(job, views)
        return plan_cache(self.asked, job, shown, count=count, needs=_LOGITS_ALONE, dtype=dtype, final=final)

    def live(self, job: Job, device: torch.device) -> LiveTeacher:
        """See `TeacherSource`; of the student's views, resized, which costs what asking about whole images does."""
        shown = ResizedInput(self.asked, self.preprocessing.size, self.preprocessing.interpolation)  # type: ignore[arg-type]  # has what it reads
        live = self._live(job, device)
        return LiveTeacher(shown.to(device), device, live.dtype)

    def stored_views(self, job: Job, views: Views) -> int:
        """See `TeacherSource`: the image, and its mirror image where that has an answer of its own."""
        return self.images(job, views).count or 1

    def identity(self) -> list[Any]:
        """Plain data that decides what a student learns from it."""
        shown = self.preprocessing
        return ["per image", teacher_digest(self.asked), [*shown.size, shown.resize, shown.interpolation]]

    def images(self, job: Job, views: Views) -> WholeImages:
        """What it is shown; they are decoded for it, and kept nowhere."""
        settings = job.settings
        decoded = DecodedImages(job.train, self.preprocessing, decode=settings.decode, cache="off", passes=1)
        return WholeImages(decoded, job, mirrored=views.mirrors and "flip" not in self.tta)

    def _live(self, job: Job, device: torch.device) -> LiveTeacher:
        return LiveSource(self.network).live(job, device)
