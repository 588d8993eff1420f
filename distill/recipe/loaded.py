"""A recipe with the place it came from."""

import hashlib
import shlex
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from ...runtime.config import decode_tagged
from ...runtime.targets import Target, host_of, is_config_file, load_target
from ..engine.settings import TrainSettings
from ..methods import METHODS, Method, labels_alone
from ..models import ModelSpec
from .schema import Int8Spec, Recipe, TasksSpec


class RecipeTraining(NamedTuple):
    """A training that a recipe asks for.

    Attributes:
        key: of its settings in the recipe.
        settings: with every default.
        method: what it learns by.
        model: its network.
        size: (height, width) of its images, in pixels.
    """

    key: Literal["teacher.train", "tasks.train", "student.train", "student.int8.train"]
    settings: TrainSettings
    method: Method
    model: ModelSpec
    size: tuple[int, int]


class LoadedRecipe(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe with the place it came from: relative paths in it are taken from `base`.

    Attributes:
        recipe: the decoded recipe.
        base: the file's folder; for a paper's recipe, which has no file, the current one.
        where: the file, or the name of a paper's recipe; for messages.
        assignments: the KEY=VALUE arguments that changed it, as typed.
    """

    recipe: Recipe
    base: Path
    where: str
    assignments: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return Path(self.recipe.output) / self.recipe.name

    def command(self, step: str) -> str:
        """The command line that runs a step of this very recipe, e.g. "train"; for messages."""
        return shlex.join(["edgedistill", step, self.where, *self.assignments])

    def method(self) -> Method:
        """The method with its hyper-parameters."""
        return decode_tagged(self.recipe.method, METHODS, tag="name", where=self.where, prefix="method")

    def teacher_method(self) -> Method:
        """What trains the recipe's own teacher."""
        assert self.recipe.teacher is not None
        chosen = self.recipe.teacher.method or "vanilla"
        return decode_tagged(chosen, METHODS, tag="name", where=self.where, prefix="teacher.method")

    @property
    def has_teacher(self) -> bool:
        """Whether a teacher comes before the student: the recipe's, or the method's own."""
        return self.recipe.teacher is not None or self.method().trains_teachers

    def tasks(self) -> TasksSpec | None:
        """How the method's own teachers are trained, with every default; None where it has none."""
        if not self.method().trains_teachers:
            return None
        return (self.recipe.tasks or TasksSpec()).resolve(self.recipe.student.train, where=self.where)

    def int8(self) -> Int8Spec | None:
        """The student's training in int8, with every default; None where it has none."""
        student = self.recipe.student
        return None if student.int8 is None else student.int8.resolve(student.train, where=self.where)

    def trainings(self) -> list[RecipeTraining]:
        """All that it asks for: the student's first, whose settings others take; a method's own teachers are one."""
        teacher, student, tasks, int8 = self.recipe.teacher, self.recipe.student, self.tasks(), self.int8()
        shared, method = self.recipe.input.preprocessing(), self.method()
        found = [RecipeTraining("student.train", student.train, method, student.model, shared.size)]
        if int8 is not None:
            found.append(RecipeTraining("student.int8.train", int8.settings, method, student.model, shared.size))
        if tasks is not None:
            own = labels_alone(method)
            found.append(RecipeTraining("tasks.train", tasks.settings, own, student.model, shared.size))
        if teacher is not None and teacher.model is not None and teacher.train is not None:
            size = teacher.input.of(shared).size
            found.append(RecipeTraining("teacher.train", teacher.train, self.teacher_method(), teacher.model, size))
        return found

    def resolve(self, path: str) -> str:
        """A path in the recipe, taken from the recipe's folder when it is relative."""
        return str(self.base / Path(path).expanduser())

    def targets(self) -> list[Target]:
        """The deploy configs to export for."""
        return [load_target(name) for name in self._configs()]

    def configs_with_host(self) -> list[str]:
        """Those deploy configs that name a device which ssh reaches, by their paths."""
        return [name for name in self._configs() if host_of(name)]

    def _configs(self) -> list[str]:
        return [self.resolve(name) if is_config_file(name) else name for name in self.recipe.export.targets]

    def digest(self) -> str:
        """SHA-256 of the recipe; equal recipes have equal digests."""
        plain = msgspec.to_builtins(self.recipe, str_keys=True)  # a weight per order has whole numbers for keys
        return hashlib.sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()
