"""A training as it is planned: what is left of it, what that costs, what learns at which rate, what is to be known."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from rich.console import Console

from ..data.loader import Share
from ..engine import Job, TeacherSource, TrainSettings, choose_device
from ..engine.groups import ParameterGroup, parameter_groups
from ..engine.optimize import settle_format
from ..engine.parts import PartName
from ..engine.state import read_position
from ..engine.summary import is_finished
from ..experiment.jobs import Training
from ..methods.part import Part
from ..models import Classifier, ResizedInput
from ..models.class_map import told
from ..teacher_cache import CachedSource, PerImageSource, ScoresSource
from .facts import Kept, PlannedPart, PlannedRole, PlannedTraining
from .kept import decoded_images, teacher_outputs, training_files
from .time import Estimate, estimate

_PARTS: tuple[PartName, ...] = ("method", "head", "backbone")  # from the head down


def plan_training(
    role: PlannedRole,
    method: str,
    trainings: Sequence[Training],
    measured: dict[PlannedRole, Estimate],
    console: Console,
    *,
    final: bool,
) -> tuple[PlannedTraining, list[Kept]]:
    """Trainings that differ in their classes and images alone, with what they keep.

    Args:
        role: of all of them.
        method: its name.
        trainings: at least one; the first that is not finished is measured, and its network then of no use.
        measured: estimates by role; the new one is added.
        console: where the measuring is told.
        final: whether what they learn from has its final weights; a training that was begun belongs to those.

    Raises:
        CheckpointError: a folder holds another recipe's.
    """
    job = trainings[0].job
    folder = job.folder if len(trainings) == 1 else job.folder.parent
    kept = [training_files(trainings, f"{role}: weights and last.ckpt", folder)]
    done = [_epochs_done(one.job) if final else 0.0 for one in trainings]
    left = [(one, one.job.settings.epochs - epochs) for one, epochs in zip(trainings, done, strict=True)]
    left = [(one, epochs) for one, epochs in left if epochs]
    notes, costs = list(_notes(trainings[0], final=final)), dict[str, Any]()
    if left:
        first = left[0][0]
        outputs = teacher_outputs(first, final=final)
        kept += [*([outputs] if outputs else []), *decoded_images(first.job)]
        costs["parts"] = _parts(first.model, first.part, first.job.settings)  # before the model is measured
        if role not in measured:
            with console.status(f"measuring a few steps: {role}"):
                measured[role] = estimate(*first)
        found = measured[role]
        images = sum(epochs * len(one.job.train) for one, epochs in left)
        views = found.stored_views * outputs.missing_bytes / outputs.bytes if outputs else 0.0
        notes += [found.note] if found.note else []
        costs |= {
            "steps": found.steps,
            "step_seconds": found.step_seconds,
            "bound": found.bound,
            "teacher": _how_asked(first.teacher, found),
            "estimated_seconds": found.seconds(epochs=images / found.images, stored_views=views),
        }
    planned = PlannedTraining(
        role=role,
        method=method,
        folder=str(folder),
        count=len(trainings),
        finished=len(trainings) - len(left),
        epochs=job.settings.epochs,
        epochs_done=sum(done),
        notes=tuple(notes),
        **costs,
    )
    return planned, kept


def _epochs_done(job: Job) -> float:
    """Epochs that an earlier start finished, and the share of the one it stopped in."""
    if not job.last.is_file():
        return float(job.settings.epochs if is_finished(job) else 0)
    epochs, steps = read_position(job.last, job.identity)
    batch_size = Share(pieces=job.settings.accumulate).clip(job.settings.batch_size, len(job.train))
    return epochs + steps / (len(job.train) // batch_size)


def _how_asked(teacher: TeacherSource | None, found: Estimate) -> Literal["live", "stored", "scores"] | None:
    if teacher is None or isinstance(teacher, ScoresSource):
        return None if teacher is None else "scores"
    return "stored" if found.stored_views else "live"


def _parts(model: Classifier, added: Part | None, settings: TrainSettings) -> tuple[PlannedPart, ...]:
    """What learns alike, weights and biases together, from the head down."""
    found: dict[tuple[int, int], list[ParameterGroup]] = {}
    for group in parameter_groups(model, added, settings):
        found.setdefault((_PARTS.index(group.part), group.below_head or 0), []).append(group)
    return tuple(
        PlannedPart(
            part=groups[0].part,
            below_head=groups[0].below_head,
            parameters=sum(parameter.numel() for group in groups for parameter in group.parameters),
            lr=settings.lr * groups[0].lr_scale,
            weight_decay=max(group.weight_decay for group in groups),
            freeze_epochs=settings.parts.of(groups[0].part).freeze_epochs,
        )
        for _, groups in sorted(found.items())
    )


def _notes(training: Training, *, final: bool) -> Iterator[str]:
    """What is worth knowing before it starts, a line each."""
    job, teacher = training.job, training.teacher
    size, silent = job.card.preprocessing.size, None
    settled = settle_format(job.settings, training.model, choose_device(), size)
    if settled.channels_last and job.settings.channels_last is None:
        yield "in channels last, which is faster on a CPU for its depthwise convolutions (`channels_last: false`: not)"
    if job.settings.mix is not None and teacher is not None:
        yield "the teacher is asked at every step, since images are mixed"
    if not final and job.last.is_file():
        yield "whether what was begun goes on, the teacher decides"
    if isinstance(teacher, ScoresSource):
        silent = teacher.table.silent
        same = "the same for every view, whatever `augment` does to it"
        if teacher.table.mirrored is not None:
            same = "those of the mirrored image where `flip` mirrors it; what else `augment` does they do not know"
        yield f"the teacher's scores are read from {teacher.table.path}: they are per image and {same}"
    elif isinstance(teacher, PerImageSource):
        silent = teacher.silent
        yield _per_image(teacher)
    elif isinstance(teacher, CachedSource):
        silent = teacher.silent
        if isinstance(teacher.network, ResizedInput):
            own = teacher.network.size
            yield (
                f"the teacher is shown the student's view of {size[0]}x{size[1]}, resized to {own[0]}x{own[1]}: the "
                "same crop, flip and colours, and no more detail"
            )
    if silent is not None and (nothing := told(job.train.classes, silent)):
        yield f"the teacher {nothing}"


def _per_image(teacher: PerImageSource) -> str:
    height, width = teacher.preprocessing.size
    views = f", the mean over its views ({', '.join(teacher.tta)})" if teacher.tta else ""
    flipped = "`flip` has that of the mirror image"
    if "flip" in teacher.tta:
        flipped = "an image and its mirror image have one"
    return (
        f"the teacher is asked once about each whole image of {height}x{width}{views}: its answer ({flipped}) is the "
        "same for every view, whatever else `augment` does to it"
    )
