"""What a command would do with a recipe: networks, trainings, time and disk. Nothing is trained, written or locked."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import msgspec
import torch
import yaml
from torch import nn

from ...runtime.datasets import Dataset
from ...runtime.device import usable_cores
from ..checkpoint import Student, digest_weights, load_student
from ..data.loader import Share
from ..engine import Job, TrainSettings, choose_device
from ..engine.groups import ParameterGroup, parameter_groups
from ..engine.parts import PartName
from ..engine.state import read_position
from ..experiment import Experiment
from ..experiment.jobs import Training
from ..experiment.sub_tasks import draw_tasks, read_tasks
from ..experiment.sub_teachers import MergedCheckpoint
from ..models import Classifier, ModelSpec
from ..models.size import count_parameters, deployed_size
from ..models.weights import no_downloads
from .disk import Kept, decoded_images, missing_bytes, room_to_save, teacher_outputs, training_files, weights_file
from .facts import Command, Part, Plan, PlannedModel, PlannedPart, PlannedRole, PlannedSplit, PlannedTraining
from .time import Estimate, estimate


def plan(experiment: Experiment, command: Command, measured: dict[PlannedRole, Estimate] | None = None) -> Plan:
    """What `command` would do with the experiment's recipe, estimated from a few steps of each of its trainings.

    A teacher that is still to be trained is measured as it is built: its time does not depend on its weights.

    Args:
        experiment: nothing of it has run.
        command: `train`, `distill` or `run`.
        measured: estimates by role, from plans of the same recipe under other seeds; new ones are added.

    Raises:
        ConfigError, DataError, CheckpointError, EdgedistillError: as the command would.
    """
    loaded, splits, load = experiment.loaded, experiment.splits, _load_average()
    with no_downloads():
        planner = _Planner(experiment, {} if measured is None else measured)
        if loaded.has_teacher:
            planner.teacher()
        if (command == "run" and loaded.recipe.baseline) or (command == "train" and not loaded.has_teacher):
            planner.student("baseline")
        if command != "train":
            planner.student("student")
        if command != "train" and loaded.recipe.student.int8 is not None:
            planner.int8()
    parts: list[tuple[Part, Dataset]] = [
        ("train", splits.train),
        ("validation", splits.validation),
        ("test", splits.test),
    ]
    if splits.unlabelled is not None:
        parts.append(("unlabelled", splits.unlabelled))
    return Plan(
        command=command,
        name=loaded.recipe.name,
        folder=str(experiment.folder),
        base=str(loaded.base),
        recipe=yaml.safe_load(experiment.resolved()),
        device=_device(),
        cores=usable_cores(),
        load_average=load,
        size=loaded.recipe.input.preprocessing().size,
        classes=len(splits.train.classes),
        splits=tuple(PlannedSplit(part=part, name=data.name, images=len(data)) for part, data in parts),
        models=tuple(planner.models),
        trainings=tuple(planner.trainings),
        kept=planner.all_kept(),
        estimated_seconds=sum(training.estimated_seconds for training in planner.trainings),
        missing_bytes=missing_bytes(planner.all_kept()),
        free_bytes=_free_bytes(experiment.folder),
    )


class _Planner:
    """Collects a plan's parts, in the order in which the command would come to them."""

    def __init__(self, experiment: Experiment, measured: dict[PlannedRole, Estimate]) -> None:
        self.experiment, self.loaded, self.measured = experiment, experiment.loaded, measured
        self.size = self.loaded.recipe.input.preprocessing().size
        self.models: list[PlannedModel] = []
        self.trainings: list[PlannedTraining] = []
        self.kept: list[Kept] = []
        self.room: list[Kept] = []
        self.taught_by: Student | MergedCheckpoint | None = None
        self.teacher_is_final = True

    def teacher(self) -> None:
        """The teacher as far as it exists, and what is left of its training."""
        teacher, spec = self.experiment.untrained_teacher(), self.loaded.recipe.teacher
        assert teacher is not None
        role: PlannedRole = "sub-tasks" if isinstance(teacher, MergedCheckpoint) else "teacher"
        trainings: list[Training] = []
        if role == "sub-tasks":
            trainings = self._sub_tasks()
        elif spec is not None and spec.train is not None:
            trainings = [self.experiment.training("teacher", None)]
        elif spec is not None and spec.model is not None and isinstance(teacher, Student):
            self.kept.append(weights_file(teacher))
        self._model("teacher", teacher.card.model, teacher.model, [model for _, model, _ in trainings])
        if trainings:
            jobs = [job for job, _, _ in trainings]
            self.teacher_is_final = all(_epochs_done(job) >= job.settings.epochs for job in jobs)
            if self.teacher_is_final:
                teacher = _trained(teacher, jobs)
            self._training(role, "labels", trainings, final=True)
        self.taught_by = teacher

    def student(self, role: Literal["baseline", "student"]) -> None:
        """The student, with its method or without a teacher."""
        taught = role == "student"
        method = self.loaded.recipe.method if taught else "labels"
        training = self.experiment.training(role, self.taught_by)
        reads_teacher = taught or self.loaded.recipe.student.start == "teacher"
        self._model(role, self.loaded.recipe.student.model, training.model, [training.model])
        name = method if isinstance(method, str) else method["name"]
        self._training(role, name, [training], final=self.teacher_is_final or not reads_teacher)

    def int8(self) -> None:
        """The last training of the student; measured on the student as it is built, where that is not trained yet."""
        job, model, _ = self.experiment.training("student", self.taught_by)
        done = self.teacher_is_final and _epochs_done(job) >= job.settings.epochs
        student = Student(model, job.card, self.experiment.folder / "student" / job.checkpoint)
        training = self.experiment.int8_training(self.taught_by, load_student(student.path) if done else student)
        method = self.loaded.recipe.method
        self._training("int8", method if isinstance(method, str) else method["name"], [training], final=done)

    def all_kept(self) -> tuple[Kept, ...]:
        """Each thing once: trainings share caches, and one of them saves at a time."""
        once = {(kept.what, kept.path): kept for kept in self.kept}
        return (*once.values(), *sorted(self.room, key=lambda room: room.bytes)[-1:])

    def _sub_tasks(self) -> list[Training]:
        found = self.experiment.sub_teachers
        chosen = (self.loaded.method(), self.experiment.splits.train, self.loaded.recipe.seed)
        return [found.training(task) for task in read_tasks(found.folder, *chosen) or draw_tasks(*chosen)]

    def _model(
        self,
        role: Literal["teacher", "baseline", "student"],
        spec: ModelSpec,
        model: nn.Module,
        trained: list[nn.Module],
    ) -> None:
        size = deployed_size(model, self.size)
        name = spec.name if spec.width == 1.0 else f"{spec.name} x{spec.width:g}"
        self.models.append(
            PlannedModel(
                role=role,
                name=name if len(trained) < 2 else f"{len(trained)} of {name}",
                parameters=size.parameters,
                macs=size.macs,
                training_parameters=sum(map(count_parameters, trained)) if trained else None,
            )
        )

    def _training(self, role: PlannedRole, method: str, trainings: Sequence[Training], *, final: bool) -> None:
        """Trainings that differ in their classes and images alone: the first that is not finished is measured.

        Args:
            role: of all of them.
            method: that teaches them.
            trainings: at least one.
            final: whether their teacher has its final weights; a training that was begun belongs to those.
        """
        first = trainings[0].job
        epochs = first.settings.epochs
        done = [_epochs_done(training.job) if final else 0.0 for training in trainings]
        left = [training for training, finished in zip(trainings, done, strict=True) if finished < epochs]
        folder = first.folder if len(trainings) == 1 else first.folder.parent
        planned = PlannedTraining(
            role=role,
            method=method,
            folder=str(folder),
            count=len(trainings),
            finished=len(trainings) - len(left),
            epochs=epochs,
            epochs_done=sum(done),
            note="" if final or not first.last.is_file() else "whether what was begun goes on, the teacher decides",
        )
        self.kept.append(training_files(trainings, f"{role}: weights and last.ckpt", folder))
        if left:
            images = sum(
                (epochs - finished) * len(one.job.train) for one, finished in zip(trainings, done, strict=True)
            )
            planned = self._measured(planned, left[0], images, final=final)
        self.trainings.append(planned)

    def _measured(self, planned: PlannedTraining, training: Training, images: float, *, final: bool) -> PlannedTraining:
        """`planned` with what `training`, one of them, tells; `images` are left to be shown, once per epoch."""
        job, model, teacher = training
        parts = _parts(model, job.settings)  # before the model is measured
        outputs = teacher_outputs(training, final=final)
        self.kept += [kept for kept in (outputs, decoded_images(job)) if kept is not None]
        self.room.append(room_to_save(job, model, self.experiment.folder.parent))
        if planned.role not in self.measured:
            with self.experiment.console.status(f"measuring a few steps: {planned.role}"):
                self.measured[planned.role] = estimate(job, model, teacher)
        found = self.measured[planned.role]
        views = found.stored_views * outputs.missing_bytes / outputs.bytes if outputs is not None else 0.0
        return msgspec.structs.replace(
            planned,
            steps=found.steps,
            step_seconds=found.step_seconds,
            bound=found.bound,
            parts=parts,
            teacher=None if teacher is None else "stored" if found.stored_views else "live",
            estimated_seconds=found.seconds(epochs=images / found.images, stored_views=views),
        )


def _parts(model: Classifier, settings: TrainSettings) -> tuple[PlannedPart, ...]:
    """What learns alike, weights and biases together, from the head down."""
    found: dict[tuple[PartName, int], list[ParameterGroup]] = {}
    for group in parameter_groups(model, None, settings):
        found.setdefault((group.part, group.below_head or 0), []).append(group)
    order = ("method", "head", "backbone")
    return tuple(
        PlannedPart(
            part=part,
            below_head=groups[0].below_head,
            parameters=sum(parameter.numel() for group in groups for parameter in group.parameters),
            lr=settings.lr * groups[0].lr_scale,
            weight_decay=max(group.weight_decay for group in groups),
            freeze_epochs=settings.parts.of(part).freeze_epochs,
        )
        for (part, _), groups in sorted(found.items(), key=lambda item: (order.index(item[0][0]), item[0][1]))
    )


def _epochs_done(job: Job) -> float:
    """Epochs that an earlier start finished, and the share of the one it stopped in.

    Raises:
        CheckpointError: the folder holds another recipe's.
    """
    if not job.last.is_file():
        return 0.0
    epochs, steps = read_position(job.last, job.identity)
    batch_size = Share(pieces=job.settings.accumulate).clip(job.settings.batch_size, len(job.train))
    return epochs + steps / (len(job.train) // batch_size)


def _trained(teacher: Student | MergedCheckpoint, jobs: Sequence[Job]) -> Student | MergedCheckpoint:
    """The teacher with the weights that its finished trainings left."""
    found = [load_student(job.folder / job.checkpoint) for job in jobs]
    if isinstance(teacher, Student):
        return found[0]
    for model, one in zip(teacher.model.models, found, strict=True):
        model.load_state_dict(one.model.state_dict())
    return replace(teacher, weights_sha256=digest_weights(teacher.model))


def _device() -> str:
    device = choose_device()
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _load_average() -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _free_bytes(folder: Path) -> int:
    """On the disk that `folder` is on, or would be."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
