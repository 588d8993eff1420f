"""What a command would do with a recipe: networks, trainings, time and disk. Nothing is trained, written or locked."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from torch import nn

from ...runtime.datasets import Dataset
from ...runtime.device import load_average, usable_cores
from ...runtime.preprocess import Preprocessing
from ..checkpoint import Student
from ..data.loader import Share
from ..engine import Job, TeacherSource, choose_device
from ..engine.network import TrainedNetwork
from ..engine.state import read_position
from ..engine.summary import is_finished
from ..experiment import Experiment
from ..experiment.jobs import Training
from ..experiment.outside import shown_network
from ..models import ModelSpec
from ..models.library_inputs import other_inputs
from ..models.size import count_parameters, deployed_size
from ..models.weights import no_downloads
from ..teacher_cache import ScoresSource
from .disk import decoded_images, last_checkpoint_bytes, missing_bytes, teacher_outputs, training_files, weights
from .facts import Command, Kept, Network, Part, Plan, PlannedModel, PlannedRole, PlannedSplit, PlannedTraining
from .notes import notes
from .parts import planned_parts
from .time import Estimate, estimate

StudentRole = Literal["baseline", "student", "int8"]


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
    recipe, splits, load, device = experiment.recipe, experiment.splits, load_average(), choose_device()
    planner = _Planner(experiment, {} if measured is None else measured)
    with no_downloads():
        planner.walk(command)
    kept = planner.all_kept()
    parts: dict[Part, Dataset] = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    if splits.unlabelled is not None:
        parts["unlabelled"] = splits.unlabelled
    return Plan(
        command=command,
        name=recipe.name,
        folder=str(experiment.folder),
        base=str(experiment.loaded.base),
        recipe=yaml.safe_load(experiment.resolved()),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        cores=usable_cores(),
        load_average=load[0] if load else None,
        size=recipe.input.preprocessing().size,
        classes=len(splits.train.classes),
        splits=tuple(PlannedSplit(part=part, name=data.name, images=len(data)) for part, data in parts.items()),
        models=tuple(planner.models),
        trainings=tuple(planner.trainings),
        kept=kept,
        estimated_seconds=sum(training.estimated_seconds for training in planner.trainings),
        missing_bytes=missing_bytes(kept),
        free_bytes=_free_bytes(experiment.folder),
    )


class _Planner:
    """Collects a plan's parts, in the order in which the command would come to them."""

    def __init__(self, experiment: Experiment, measured: dict[PlannedRole, Estimate]) -> None:
        self.experiment, self.recipe, self.measured = experiment, experiment.recipe, measured
        self.models: list[PlannedModel] = []
        self.trainings: list[PlannedTraining] = []
        self.kept: list[Kept] = []
        self.room = 0  # for replacing the largest last.ckpt: one training saves at a time

    def walk(self, command: Command) -> None:
        """As far as the command goes."""
        recipe, teacher, final = self.recipe, self.experiment.untrained_teacher(), True
        if teacher is not None:
            trainings = self._teacher_trainings()
            named = teacher.card.model if recipe.teacher is None else recipe.teacher.model or teacher.card.model
            self._model("teacher", named, shown_network(teacher), trainings, teacher.card.preprocessing)
            if trainings:
                role: PlannedRole = "sub-tasks" if recipe.teacher is None else "teacher"
                self._training(role, trainings, final=True)
                final = all(is_finished(job) for job, *_ in trainings)
            elif isinstance(teacher, Student) and recipe.teacher is not None and recipe.teacher.model is not None:
                self.kept.append(weights(teacher.model, teacher.path))
        roles: list[StudentRole] = []
        if recipe.baseline if command == "run" else command == "train" and teacher is None:
            roles.append("baseline")
        if command != "train":
            roles += ["student"] if recipe.student.int8 is None else ["student", "int8"]
        for role in roles:
            training = self.experiment.training(role, teacher)
            if role != "int8":
                shown = training.job.card.preprocessing
                self._model(role, recipe.student.model, training.model, [training], shown)
            reads_teacher = role != "baseline" or recipe.student.start == "teacher"
            self._training(role, [training], final=final or not reads_teacher)
            final = final and (role == "baseline" or is_finished(training.job))

    def all_kept(self) -> tuple[Kept, ...]:
        """Each thing once: trainings share caches."""
        kept = list({(kept.what, kept.path): kept for kept in self.kept}.values())
        if self.room:
            folder = str(self.experiment.folder.parent)
            kept.append(Kept(what="room for replacing last.ckpt", where="disk", path=folder, bytes=self.room))
        return tuple(kept)

    def _teacher_trainings(self) -> list[Training]:
        if self.recipe.teacher is None:
            found = self.experiment.sub_teachers
            return [found.training(task) for task in found.planned()]
        return [] if self.recipe.teacher.train is None else [self.experiment.training("teacher", None)]

    def _model(
        self,
        role: Network,
        spec: ModelSpec,
        model: nn.Module | None,
        trainings: Sequence[Training],
        shown: Preprocessing,
    ) -> None:
        size = None if model is None else deployed_size(model, shown.size)
        name = spec.name if spec.width == 1.0 else f"{spec.name} x{spec.width:g}"
        self.models.append(
            PlannedModel(
                role=role,
                name=name if len(trainings) < 2 else f"{len(trainings)} of {name}",
                parameters=None if size is None else size.parameters,
                macs=None if size is None else size.macs,
                training_parameters=sum(map(_training_parameters, trainings)) or None,
                mean=shown.mean,
                std=shown.std,
                other_inputs=other_inputs(spec, shown),
            )
        )

    def _training(self, role: PlannedRole, trainings: Sequence[Training], *, final: bool) -> None:
        """Trainings that differ in their classes and images alone: the first that is not finished is measured.

        Args:
            role: of all of them.
            trainings: at least one.
            final: whether what they learn from has its final weights; a training that was begun belongs to those.
        """
        first, method = trainings[0].job, self.recipe.method
        if role not in ("student", "int8"):
            method = "labels"
        folder = first.folder if len(trainings) == 1 else first.folder.parent
        done = [_epochs_done(training.job) if final else 0.0 for training in trainings]
        left = [(one.job.settings.epochs - epochs, one) for epochs, one in zip(done, trainings, strict=True)]
        left = [(epochs, one) for epochs, one in left if epochs]
        self.kept.append(training_files(trainings, f"{role}: weights and last.ckpt", folder))
        measured = self._measured(role, left, final=final) if left else {}
        told = (self.measured[role].note,) if left and self.measured[role].note else ()
        self.trainings.append(
            PlannedTraining(
                role=role,
                method=method if isinstance(method, str) else method["name"],
                folder=str(folder),
                count=len(trainings),
                finished=len(trainings) - len(left),
                epochs=first.settings.epochs,
                epochs_done=sum(done),
                notes=tuple(notes(trainings[0], final=final)) + told,
                **measured,
            )
        )

    def _measured(self, role: PlannedRole, left: list[tuple[float, Training]], *, final: bool) -> dict[str, Any]:
        """What the first of trainings tells of all that is left of them, so many epochs of each."""
        job, model, teacher, part = left[0][1]
        parts = planned_parts(model, part, job.settings)  # before the model is measured
        outputs = teacher_outputs(left[0][1], final=final)
        self.kept += [outputs] if outputs is not None else []
        self.kept += decoded_images(job)
        self.room = max(self.room, last_checkpoint_bytes(left[0][1]))
        if role not in self.measured:
            with self.experiment.console.status(f"measuring a few steps: {role}"):
                self.measured[role] = estimate(job, model, teacher, part)
        found = self.measured[role]
        views = found.stored_views * outputs.missing_bytes / outputs.bytes if outputs is not None else 0.0
        images = sum(epochs * len(one.job.train) for epochs, one in left)
        return {
            "steps": found.steps,
            "step_seconds": found.step_seconds,
            "bound": found.bound,
            "teacher": _how_asked(teacher, found),
            "estimated_seconds": found.seconds(epochs=images / found.images, stored_views=views),
            "parts": parts,
        }


def _training_parameters(training: Training) -> int:
    return count_parameters(TrainedNetwork(training.model, training.part))


def _epochs_done(job: Job) -> float:
    """Epochs that an earlier start finished, and the share of the one it stopped in.

    Raises:
        CheckpointError: the folder holds another recipe's.
    """
    if not job.last.is_file():
        return float(job.settings.epochs if is_finished(job) else 0)
    epochs, steps = read_position(job.last, job.identity)
    batch_size = Share(pieces=job.settings.accumulate).clip(job.settings.batch_size, len(job.train))
    return epochs + steps / (len(job.train) // batch_size)


def _how_asked(teacher: TeacherSource | None, found: Estimate) -> Literal["live", "stored", "scores"] | None:
    if teacher is None or isinstance(teacher, ScoresSource):
        return None if teacher is None else "scores"
    return "stored" if found.stored_views else "live"


def _free_bytes(folder: Path) -> int:
    """On the disk that `folder` is on, or would be."""
    folder = folder.absolute()
    return shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free
