"""What a training keeps on the disk and in memory, told without writing, locking or taking any of it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..data.pixel_cache import PixelCache
from ..engine import Job
from ..engine.folder import checkpoint_bytes, state_bytes
from ..engine.images import build_views, validation_images
from ..engine.network import TrainedNetwork
from ..engine.world import ALONE
from ..experiment.jobs import Training
from ..models import Classifier
from ..teacher_cache import CachedSource, PerImageSource
from .facts import Kept
from .time import keeping_no_images


def weights(model: Classifier, path: Path) -> Kept:
    """A checkpoint."""
    return Kept(what="weights", where="disk", path=str(path), bytes=state_bytes(model), present_bytes=_size(path))


def training_files(trainings: Sequence[Training], what: str, folder: Path) -> Kept:
    """The best weights and last.ckpt of each; logs and curves are small beside them."""
    best = [weights(model, job.folder / job.checkpoint) for job, model, *_ in trainings]
    return Kept(
        what=what,
        where="disk",
        path=str(folder),
        bytes=sum(one.bytes for one in best) + sum(map(last_checkpoint_bytes, trainings)),
        present_bytes=sum(one.present_bytes for one in best) + sum(_size(job.last) for job, *_ in trainings),
    )


def last_checkpoint_bytes(training: Training) -> int:
    """Of last.ckpt."""
    return checkpoint_bytes(TrainedNetwork(training.model, training.part), training.job.settings)


def decoded_images(job: Job) -> Iterator[Kept]:
    """The caches of decoded images that the job would open, of training and validation part."""
    blind, folder = keeping_no_images(job), job.cache_folder / "images"
    for images, data in ((build_views(blind).decoded, job.train), (validation_images(blind, ALONE), job.validation)):
        where, what = images.choose(job.settings.decoded_cache, folder), f"decoded images of {data.name}"
        size = PixelCache.nbytes(len(images), (*job.card.preprocessing.size, 3))
        if where == "memory":
            yield Kept(what=what, where=where, path=None, bytes=size)
        elif where == "disk":
            file = images.file(folder)
            present = size if file.is_file() else 0  # its space is claimed when it is made
            yield Kept(what=what, where=where, path=str(file), bytes=size, present_bytes=present)


def teacher_outputs(training: Training, *, final: bool) -> Kept | None:
    """The cache of the teacher's outputs; None where the job keeps none. Reads what is there, to check it.

    Args:
        training: the job with its teacher.
        final: whether the teacher has its final weights, which the cache's name follows from.
    """
    job, teacher = training.job, training.teacher
    views = build_views(keeping_no_images(job))
    stored = teacher.planned(job, views, final=final) if isinstance(teacher, CachedSource | PerImageSource) else None
    return stored and Kept(
        what=f"teacher's outputs: {stored.layout}",
        where="disk",
        path=None if stored.folder is None else str(stored.folder),
        bytes=stored.layout.bytes,
        present_bytes=stored.sound_bytes,
    )


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0
