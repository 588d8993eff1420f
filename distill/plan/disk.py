"""What a training keeps, told without writing, locking or taking any of it."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from torch import nn

from ..data.pixel_cache import PixelCache
from ..engine import Job
from ..engine.images import build_views, validation_images
from ..engine.network import TrainedNetwork
from ..engine.world import ALONE
from ..experiment.jobs import Training
from ..models import Classifier
from ..teacher_cache import CachedSource
from .facts import Kept
from .time import keeping_no_images

_MOMENTS = {"adam": 2, "adamw": 2, "sgd": 1}


def missing_bytes(kept: Iterable[Kept]) -> int:
    """Of all that is kept on the disk."""
    return sum(one.missing_bytes for one in kept if one.where == "disk")


def weights(model: Classifier, path: Path) -> Kept:
    """A checkpoint."""
    return Kept(what="weights", where="disk", path=str(path), bytes=_state(model), present_bytes=_size(path))


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
    """Of last.ckpt: the network, its averages, what the method adds, and the optimiser's moments."""
    settings, network = training.job.settings, TrainedNetwork(training.model, training.part)
    trained = sum(parameter.nbytes for parameter in network.parameters() if parameter.requires_grad)
    averages = (settings.ema is not None) + (settings.swa is not None)
    return _state(network) + averages * _state(training.model) + _MOMENTS[settings.optimizer] * trained


def decoded_images(job: Job) -> Iterator[Kept]:
    """The caches of decoded images that the job would open, of training and validation part."""
    decoded_cache, job = job.settings.decoded_cache, keeping_no_images(job)
    for images, data in ((build_views(job).decoded, job.train), (validation_images(job, ALONE), job.validation)):
        folder = job.cache_folder / "images"
        where = images.choose(decoded_cache, folder)
        if where == "off":
            continue
        size = PixelCache.nbytes(len(images), (*job.card.preprocessing.size, 3))
        what = f"decoded images of {data.name}"
        if where == "memory":
            yield Kept(what=what, where="memory", path=None, bytes=size)
        else:
            file = images.file(folder)
            present = size if file.is_file() else 0  # its space is claimed when it is made
            yield Kept(what=what, where="disk", path=str(file), bytes=size, present_bytes=present)


def teacher_outputs(training: Training, *, final: bool) -> Kept | None:
    """The cache of the teacher's outputs; None where the job keeps none. Reads what is there, to check it.

    Args:
        training: the job with its teacher.
        final: whether the teacher has its final weights, which the cache's name follows from.
    """
    job, teacher = training.job, training.teacher
    views = build_views(keeping_no_images(job))
    layout = teacher.planned(job, views) if isinstance(teacher, CachedSource) else None
    if not isinstance(teacher, CachedSource) or layout is None:
        return None
    folder, present = teacher.stored(job, views, layout) if final else (None, 0)
    return Kept(
        what=f"teacher's outputs: {layout}",
        where="disk",
        path=None if folder is None else str(folder),
        bytes=layout.bytes,
        present_bytes=present,
    )


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0


def _state(model: nn.Module) -> int:
    return sum(value.nbytes for value in model.state_dict().values())
