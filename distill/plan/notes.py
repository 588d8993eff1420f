"""What is worth knowing about a training before it starts: a line each, which `--dry-run` prints below its tables."""

from collections.abc import Iterator

from ..engine import choose_device
from ..engine.optimize import settle_format
from ..experiment.jobs import Training
from ..models import ResizedInput
from ..models.class_map import told
from ..teacher_cache import CachedSource, ScoresSource


def notes(training: Training, *, final: bool) -> Iterator[str]:
    """Sentences about a training, for people.

    Args:
        training: as it would start.
        final: whether its teacher has its final weights.
    """
    job, device = training.job, choose_device()
    settled = settle_format(job.settings, training.model, device, job.card.preprocessing.size)
    if settled.channels_last and job.settings.channels_last is None:
        yield "in channels last, which is faster on a CPU for its depthwise convolutions (`channels_last: false`: not)"
    if job.settings.mix is not None and training.teacher is not None:
        yield "the teacher is asked at every step, since images are mixed"
    if not final and job.last.is_file():
        yield "whether what was begun goes on, the teacher decides"
    teacher, silent = training.teacher, None
    if isinstance(teacher, ScoresSource):
        silent = teacher.table.silent
        same = "the same for every view, whatever `augment` does to it"
        if teacher.table.mirrored is not None:
            same = "those of the mirrored image where `flip` mirrors it; what else `augment` does they do not know"
        yield f"the teacher's scores are read from {teacher.table.path}: they are per image and {same}"
    elif isinstance(teacher, CachedSource):
        silent = teacher.silent
        if isinstance(teacher.network, ResizedInput):
            own, size = teacher.network.size, job.card.preprocessing.size
            yield (
                f"the teacher is shown the student's view of {size[0]}x{size[1]}, resized to {own[0]}x{own[1]}: the "
                "same crop, flip and colours, and no more detail"
            )
    if silent is not None and (nothing := told(training.job.train.classes, silent)):
        yield f"the teacher {nothing}"
