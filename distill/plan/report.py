"""What a command would do with a recipe: networks, trainings, time and disk. Nothing is trained, written or locked."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
import yaml
from torch import nn

from ...runtime.datasets import Dataset
from ...runtime.device import load_average, usable_cores
from ...runtime.preprocess import Preprocessing
from ..checkpoint import Student
from ..engine import choose_device
from ..engine.network import TrainedNetwork
from ..engine.summary import is_finished
from ..experiment import Experiment
from ..experiment.jobs import Training
from ..experiment.outside import shown_network
from ..models import ModelSpec
from ..models.library_inputs import other_inputs
from ..models.size import count_parameters, deployed_size
from ..models.weights import no_downloads
from .facts import Command, Kept, Network, Part, Plan, PlannedModel, PlannedRole, PlannedSplit, PlannedTraining
from .kept import last_checkpoint_bytes, weights
from .time import Estimate
from .training import plan_training

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
        missing_bytes=sum(one.missing_bytes for one in kept),
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
                self._training("sub-tasks" if recipe.teacher is None else "teacher", "labels", trainings, final=True)
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
            method = "labels" if role == "baseline" else recipe.method_name
            self._training(role, method, [training], final=final or not reads_teacher)
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
        trained = sum(count_parameters(TrainedNetwork(training.model, training.part)) for training in trainings)
        self.models.append(
            PlannedModel(
                role=role,
                name=name if len(trainings) < 2 else f"{len(trainings)} of {name}",
                parameters=None if size is None else size.parameters,
                macs=None if size is None else size.macs,
                training_parameters=trained or None,
                mean=shown.mean,
                std=shown.std,
                other_inputs=other_inputs(spec, shown),
            )
        )

    def _training(self, role: PlannedRole, method: str, trainings: Sequence[Training], *, final: bool) -> None:
        console = self.experiment.console
        planned, kept = plan_training(role, method, trainings, self.measured, console, final=final)
        self.trainings.append(planned)
        self.kept += kept
        if planned.finished < planned.count:
            self.room = max(self.room, *map(last_checkpoint_bytes, trainings))


def _free_bytes(folder: Path) -> int:
    """On the disk that `folder` is on, or would be."""
    folder = folder.absolute()
    return shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free
