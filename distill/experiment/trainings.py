"""What each of a recipe's trainings is, ready to start; nothing here trains or writes a file."""

from typing import Any, Literal, TypeAlias

import torch
from rich.console import Console

from ...runtime.preprocess import Preprocessing
from ..checkpoint import Student
from ..engine import Job, TrainSettings
from ..engine.state import read_part
from ..methods import Method, labels_alone, without_warmup
from ..methods.shown import require_maps
from ..models import Classifier, MappedNetwork, ModelSpec, ResizedInput, TeacherModel
from ..models.folded import FoldedClassifier
from ..models.size import require_size
from ..recipe.inputs import student_preprocessing, teacher_preprocessing
from ..recipe.loaded import LoadedRecipe
from ..recipe.start import refuse_another_network
from ..teacher_cache import CachedSource, PerImageSource, ScoresSource, ScoreTable
from .continuing import continue_from, sharing_weights
from .jobs import Training, build_network, describe_job
from .splits import Splits
from .teachers import Teacher

Role = Literal["teacher", "baseline", "student", "int8"]
Teaches: TypeAlias = TeacherModel | ScoreTable


class Trainings:
    """The trainings of a recipe, each below the run's folder.

    Args:
        loaded: the recipe.
        splits: its data.
        console: where what a network needs first draws its progress.
    """

    def __init__(self, loaded: LoadedRecipe, splits: Splits, console: Console) -> None:
        self.loaded, self.recipe, self.splits, self.console = loaded, loaded.recipe, splits, console

    def teacher(self) -> Training:
        """The recipe's own; what a method trains itself `SubTeachers` describes."""
        own = self.recipe.teacher
        assert own is not None
        assert own.model is not None
        assert own.train is not None
        return self._describe("teacher", own.model, own.train, self.loaded.teacher_method(), None)

    def baseline(self, teacher: Teacher | None) -> Training:
        """The student that only the labels teach; where the student continues `teacher`'s weights, it does too."""
        student = self.recipe.student
        return self._describe("baseline", student.model, student.train, labels_alone(self.loaded.method()), teacher)

    def student(self, teacher: Teacher | None) -> Training:
        """The student that `teacher` teaches."""
        student = self.recipe.student
        return self._describe("student", student.model, student.train, self.loaded.method(), teacher)

    def int8(self, teacher: Teacher | None, student: Student, before: Job) -> Training:
        """The training in int8 that `student` goes through at the end.

        Args:
            teacher: as `student`'s.
            student: that is continued.
            before: the training that it comes from; what the method added there goes on too, where it is kept.
        """
        spec, int8, method = self.recipe.student.model, self.loaded.int8(), without_warmup(self.loaded.method())
        assert int8 is not None
        taught_by = self._ready(method, teacher.model) if teacher is not None and method.needs_teacher else None
        source = self._source(taught_by, teacher)
        job = self._job("int8", spec, int8.settings, method, teacher=source, start=student.model)
        model = FoldedClassifier(student.model).round_to_int8()
        torch.manual_seed(self.recipe.seed)
        part = method.build_part(model, _network(taught_by), job.card.preprocessing.size)
        kept = None if part is None or not before.last.is_file() else read_part(before.last, before.identity)
        if part is not None and kept is not None:
            part.load_state_dict(kept)
            if part.adam_rate is not None:  # as far below its first rate as the student's is
                part.adam_rate *= int8.settings.lr / before.settings.lr
        return Training(job, model, source, part)

    def require_asked_size(self, teacher: Teaches, shown: Preprocessing, name: str) -> None:
        """Raise ConfigError where `teacher.per_image` shows a network, called `name`, a size that it does not take."""
        network = teacher.network if isinstance(teacher, MappedNetwork) else teacher
        if isinstance(network, Classifier):
            require_size(network, shown.size, where=f"{self.loaded.where}: `teacher.per_image.size`", name=name)

    def _describe(
        self, role: Role, spec: ModelSpec, settings: TrainSettings, method: Method, teacher: Teacher | None
    ) -> Training:
        taught_by: Teaches | None = teacher.model if teacher is not None and method.needs_teacher else None
        start: Any = None  # the network that the student continues
        if role != "teacher" and self.recipe.student.start == "teacher":
            assert teacher is not None
            start, card = teacher.model, teacher.card
            refuse_another_network(spec, self._preprocessing(role), card.model, card.preprocessing, self.loaded.where)
            # Of its branches the student continues those that teach nothing, too.
            taught_by = None if taught_by is None else sharing_weights(start)
        if taught_by is not None:
            taught_by = self._ready(method, taught_by)
        source = self._source(taught_by, teacher)
        job = self._job(role, spec, settings, method, teacher=source, start=start)
        model = build_network(self.loaded, spec, job.card, self.recipe.seed, console=self.console)
        require_maps(method, model, f"{self.loaded.where}: the {role}")
        if role == "teacher" and self.recipe.teacher is not None and self.recipe.teacher.per_image is not None:
            self.require_asked_size(model, self.recipe.teacher.per_image.of(job.card.preprocessing), spec.name)
        part = method.build_part(model, _network(taught_by), job.card.preprocessing.size)
        if start is not None:
            continue_from(model, start, self.loaded.where)
            if part is not None:
                part.continue_from(start)
        return Training(job, model, source, part)

    def _ready(self, method: Method, teacher: Teaches) -> Teaches:
        """The teacher, as the method asks for it."""
        if isinstance(teacher, ScoreTable):
            return teacher
        require_maps(method, teacher, f"{self.loaded.where}: the teacher")
        teacher.detach_branches(keep=method.needs)  # nothing reads the others
        method.prepare_teacher(teacher)
        return teacher

    def _source(
        self, teacher: Teaches | None, opened: Teacher | None
    ) -> CachedSource | PerImageSource | ScoresSource | None:
        """How `teacher`, which is that of `opened` as the method asks for it, is asked."""
        section = self.loaded.tasks() or self.recipe.teacher
        if teacher is None or isinstance(teacher, ScoreTable):
            return None if teacher is None else ScoresSource(teacher)
        own = self.recipe.teacher
        if own is not None and own.per_image is not None:
            assert opened is not None
            shown = own.per_image.of(opened.card.preprocessing)
            self.require_asked_size(teacher, shown, opened.card.model.name)
            return PerImageSource(teacher, shown, own.per_image.tta)
        if own is not None and own.input.size is not None and not isinstance(teacher, ResizedInput):
            shown = own.input.of(self.recipe.input.preprocessing())
            teacher = ResizedInput(teacher, shown.size, shown.interpolation)
        return CachedSource(teacher, section.cache if section else None)

    def _job(
        self,
        role: Role,
        spec: ModelSpec,
        settings: TrainSettings,
        method: Method,
        *,
        teacher: CachedSource | PerImageSource | ScoresSource | None,
        start: Classifier | None,
    ) -> Job:
        return describe_job(
            self.loaded,
            self.splits,
            title=role,
            folder=self.loaded.folder / role,
            checkpoint=checkpoint_file(role),
            spec=spec,
            preprocessing=self._preprocessing(role),
            settings=settings,
            method=method,
            seed=self.recipe.seed,
            teacher=None if teacher is None else teacher.identity(),
            start=start,
        )

    def _preprocessing(self, role: Role) -> Preprocessing:
        return teacher_preprocessing(self.recipe) if role == "teacher" else student_preprocessing(self.recipe)


def checkpoint_file(role: Role) -> str:
    """The name of the file that a role's best weights go to."""
    return "teacher.safetensors" if role == "teacher" else "student.safetensors"


def _network(teacher: Teaches | None) -> TeacherModel | None:
    return None if isinstance(teacher, ScoreTable) else teacher
