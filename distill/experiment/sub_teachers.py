"""The teachers that a method trains itself: one for each sub-task, each a training of its own, merged into one."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path

from rich.console import Console

from ...runtime.errors import ConfigError
from ..checkpoint import ModelCard, Student, digest_weights, load_student
from ..engine import Job, current_world, fit
from ..engine.summary import is_finished
from ..methods import labels_alone
from ..models import Classifier
from ..models.merged import MergedTeacher
from ..recipe.inputs import student_preprocessing
from ..recipe.loaded import LoadedRecipe
from ..recipe.schema import TasksSpec
from .jobs import Training, build_network, card_of, describe_job
from .splits import Splits
from .sub_tasks import SubTask, draw_tasks, fix_tasks, read_tasks


@dataclass(frozen=True)
class MergedCheckpoint:
    """The checkpoints of all sub-tasks as one teacher: what a Student is for a single checkpoint.

    Attributes:
        model: in eval mode.
        card: all classes, and the architecture of each sub-task's network.
        path: the folder of the sub-tasks.
        weights_sha256: of all weights, and of which class each logit belongs to.
    """

    model: MergedTeacher
    card: ModelCard
    path: Path
    weights_sha256: str


class SubTeachers:
    """Trains them, or loads those that are trained.

    Every sub-task is an ordinary job in tasks/<partition>-<index>, the same whichever process runs it and when.

    Args:
        loaded: a recipe whose method trains its own teachers.
        splits: the whole data.
        console: where progress is drawn.

    Raises:
        ConfigError: the method has no sub-tasks.
    """

    def __init__(self, loaded: LoadedRecipe, splits: Splits, console: Console) -> None:
        spec = loaded.tasks()
        if spec is None:
            raise ConfigError(f"{loaded.where}: `method` has no sub-tasks to train, so `--task` and `--jobs` fit none.")
        self.loaded, self.splits, self.console = loaded, splits, console
        self.folder = loaded.folder / "tasks"
        self._spec: TasksSpec = spec
        self._method = loaded.method()

    @cached_property
    def tasks(self) -> list[SubTask]:
        """In the order of their numbers; the first process that asks fixes them in a file for all others.

        Raises:
            DataError: one cannot be learned from this data.
            CheckpointError: the folder holds those of another recipe.
        """
        return fix_tasks(
            self.folder,
            self._method,
            self.splits.train,
            self.loaded.recipe.seed,
            lambda task: task.splits(self.splits, self._spec.images),
        )

    def planned(self) -> list[SubTask]:
        """As `tasks`, or as they would be fixed here and now; nothing is written."""
        method, train, seed = self._method, self.splits.train, self.loaded.recipe.seed
        return read_tasks(self.folder, method, train, seed) or draw_tasks(method, train, seed)

    def training(self, task: SubTask) -> Training:
        """A sub-task's training, ready to start; nothing is written."""
        job = self._job(task)
        return Training(job, self._network(job), None)

    def train(self, number: int) -> Student:
        """The teacher of one sub-task: trained, or loaded where it is finished.

        Raises:
            ConfigError: there is no sub-task of this number.
            EdgedistillError: another process is training it.
        """
        if not 0 <= number < len(self.tasks):
            kinds = [(kind, [task.number for task in tasks]) for kind, tasks in _by_kind(self.tasks)]
            known = ", ".join(f"{kind} {numbers[0]} to {numbers[-1]}" for kind, numbers in kinds)
            raise ConfigError(f"task {number}: there is none of that number; the sub-tasks are {known}.")
        job = self._job(self.tasks[number])
        if current_world().gather(is_finished(job))[0]:
            return load_student(job.folder / job.checkpoint)
        return load_student(fit(job, self._network(job), None, self.console))

    def left(self) -> list[SubTask]:
        """Those whose training is not finished, here or in another process."""
        return [task for task in self.tasks if not is_finished(self._job(task))]

    def merged(self) -> MergedCheckpoint:
        """The one teacher of all classes, after training what is left."""
        return self._merge(self.tasks, [self.train(task.number).model for task in self.tasks])

    def untrained(self) -> MergedCheckpoint:
        """As `merged`, but nothing is trained or written: a network that is not trained yet is as it is built."""
        tasks = self.planned()
        jobs = [self._job(task) for task in tasks]
        models = [
            load_student(job.folder / job.checkpoint).model if is_finished(job) else self._network(job) for job in jobs
        ]
        return self._merge(tasks, models)

    def _job(self, task: SubTask) -> Job:
        recipe, name = self.loaded.recipe, task.name
        return describe_job(
            self.loaded,
            task.splits(self.splits, self._spec.images),
            title=f"task {task.number} ({name})",
            folder=self.folder / name,
            checkpoint="student.safetensors",
            spec=recipe.student.model,
            preprocessing=student_preprocessing(recipe),
            settings=self._spec.settings,
            method=labels_alone(self._method),
            seed=recipe.seed + task.number,
        )

    def _network(self, job: Job) -> Classifier:
        classes = self.splits.train.classes
        model = self.loaded.recipe.student.model
        return build_network(self.loaded, model, job.card, job.seed, console=self.console, data_classes=classes)

    def _merge(self, tasks: Sequence[SubTask], models: Sequence[Classifier]) -> MergedCheckpoint:
        recipe, classes = self.loaded.recipe, self.splits.train.classes
        parts = [[(task.classes, models[task.number]) for task in of_kind] for _, of_kind in _by_kind(tasks)]
        model = MergedTeacher(parts, len(classes)).eval().requires_grad_(False)
        card = card_of(self.loaded, recipe.student.model, classes, student_preprocessing(recipe))
        return MergedCheckpoint(model, card, self.folder, digest_weights(model))


def _by_kind(tasks: Sequence[SubTask]) -> list[tuple[str, list[SubTask]]]:
    return [(kind, list(of_kind)) for kind, of_kind in groupby(tasks, key=lambda task: task.kind)]
