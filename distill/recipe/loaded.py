"""A recipe with the place it came from."""

import hashlib
import shlex
from pathlib import Path

import msgspec

from ...runtime.config import decode_tagged
from ...runtime.targets import Target, host_of, is_config_file, load_target
from ..methods import METHODS, Method
from .schema import Int8Spec, Recipe, TasksSpec


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
