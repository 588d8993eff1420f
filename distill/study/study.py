"""A study's cells, each a recipe of its own, in the order in which they are to run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ...runtime.config import decode, decode_tagged, read_yaml
from ...runtime.errors import ConfigError
from ..methods import METHODS, Method
from ..models.branches import BranchName, branch_for
from ..models.heads import HEADS
from ..recipe.load import build_recipe, expand
from ..recipe.loaded import LoadedRecipe
from ..recipe.overrides import Assignment, apply_assignments
from ..recipe.packaged import read_content
from ..recipe.schema import Recipe, TeacherSpec
from .cell import Cell, with_sections
from .identity import identity_of_student, identity_of_teacher
from .spec import TEACHER, StudySpec, read_arguments, read_changes, read_spec
from .test_sets import TestSets

_DIGITS = 8  # of an identity in a folder's name
_FOR_STUDENTS_OF_A_TEACHER = {"data.unlabelled", "data.unknown"}


@dataclass(frozen=True)
class Study:
    """What a study file, with changes from the command line, says.

    Attributes:
        name: of the folder of its run folders, and of its record.
        where: the file.
        arguments: KEY=VALUE texts that change every cell's recipe, as typed.
        spec: the file's content.
        output: the folder that holds its folder; caches below it are shared with other runs there.
        cells: seed by seed, each after its teacher: whole seeds are finished early.
    """

    name: str
    where: str
    arguments: tuple[str, ...]
    spec: StudySpec
    output: Path
    cells: tuple[Cell, ...]

    @property
    def folder(self) -> Path:
        """Of all its run folders."""
        return self.output / self.name

    def command(self, *options: str) -> list[str]:
        """The arguments of `edgedistill` that run it."""
        return ["study", self.where, *self.arguments, *options]

    @property
    def default_record(self) -> Path:
        """Where its record lies unless it is told otherwise."""
        return self.output / f"{self.name}.study.json"


def load_study(path: Path, arguments: Sequence[str] = ()) -> Study:
    """Read and check a study file, and every cell's recipe with it.

    Args:
        path: a .yaml file, see `StudySpec`.
        arguments: KEY=VALUE texts that change every cell's recipe, see distill.overrides; the last to be applied.

    Raises:
        ConfigError: names the file or the command line, the key and what is allowed.
    """
    where = str(path)
    spec = read_spec(read_yaml(path), where)
    return _Reader(spec, path, tuple(arguments)).study()


def recipe_path(spec: StudySpec, path: Path) -> Path | str:
    """The recipe of the study file at `path`, beside it or packaged."""
    found = Path(spec.recipe).expanduser()
    return path.parent / found if found.suffix in (".yaml", ".yml") else spec.recipe


class _Unseeded(NamedTuple):
    """A cell's recipe before it has a seed: as it runs, and with its `${VARIABLES}` as they are written."""

    loaded: LoadedRecipe
    written: Recipe

    def with_teacher_branches(self, branches: set[BranchName]) -> "_Unseeded":
        """With a teacher that is trained with these branches too."""
        return _Unseeded(
            with_sections(self.loaded, teacher=_add_branches(self.loaded.recipe.teacher, branches)),
            msgspec.structs.replace(self.written, teacher=_add_branches(self.written.teacher, branches)),
        )

    def seeded(self, seed: int) -> "_Unseeded":
        return _Unseeded(with_sections(self.loaded, seed=seed), msgspec.structs.replace(self.written, seed=seed))


class _Reader:
    """Makes the cells' recipes."""

    def __init__(self, spec: StudySpec, path: Path, arguments: tuple[str, ...]) -> None:
        self.spec, self.where, self.arguments = spec, str(path), arguments
        content, _, self.base = read_content(recipe_path(spec, path))
        self.content = {**content, "name": spec.name or path.stem, "baseline": False, "export": {}}
        self.set = [*read_changes(spec.set, f"{self.where}: `set`")]
        self.last = read_arguments(arguments)
        others = expand(spec.other_tests, f"{self.where}: `other_tests`")
        self.tests = TestSets(spec.score_test == "in_each_cell", others, self.base)
        self.methods = {name: self._method(name) for name in spec.methods}

    def study(self) -> Study:
        shared = self._teacher()
        variants = {
            (student, method): self._student(student, method)
            for student in self.spec.students
            for method in self.spec.methods
        }
        cells = [cell for seed in self.spec.seeds for cell in self._cells(seed, shared, variants)]
        name, output = shared.loaded.recipe.name, Path(shared.loaded.recipe.output)
        return Study(name, self.where, self.arguments, self.spec, output, tuple(cells))

    def _cells(self, seed: int, shared: _Unseeded, variants: dict[tuple[str, str], _Unseeded]) -> Iterator[Cell]:
        section = shared.loaded.recipe.teacher
        teacher = None
        if _is_shared(section) and any(map(_is_taught, self.methods.values())):
            loaded, written = shared.seeded(seed)
            identity = identity_of_teacher(written)
            placed = _placed(loaded, TEACHER, TEACHER, identity)
            teacher = Cell(TEACHER, "", seed, placed, identity, tests=self.tests)
            yield teacher
        for (student, method), variant in variants.items():
            loaded, written = variant.seeded(seed)
            identity = identity_of_student(written, self.methods[method])
            placed = _placed(loaded, student, method, identity)
            waits_for = teacher if loaded.recipe.teacher else None
            yield Cell(student, method, seed, placed, identity, waits_for, self.tests)

    def _teacher(self) -> _Unseeded:
        """The recipe of the shared teacher, with every branch that any method of the study reads."""
        made = self._build("", {"name": "vanilla"}, [], without={"tasks", *_FOR_STUDENTS_OF_A_TEACHER})
        return self._with_needed_branches(made)

    def _student(self, student: str, name: str) -> _Unseeded:
        changes = [
            *read_changes(self.spec.students[student] or {}, f"{self.where}: `students.{student}`"),
            *read_changes(self.spec.variant(name).set, f"{self.where}: `methods.{name}.set`"),
        ]
        method = self.methods[name]
        without = set() if _is_taught(method) else {"teacher"}
        without |= set() if method.trains_teachers else {"tasks"}
        without |= set() if method.needs_teacher else _FOR_STUDENTS_OF_A_TEACHER
        section = self.spec.variant(name).method
        return self._with_needed_branches(self._build(f" ({student}, {name})", section, changes, without))

    def _with_needed_branches(self, made: _Unseeded) -> _Unseeded:
        """With a teacher that gives what any of the methods reads and its head does not."""
        section = made.loaded.recipe.teacher
        if section is None or section.model is None:
            return made
        needs = {need for method in self.methods.values() if _is_taught(method) for need in method.needs}
        missing = needs - {HEADS[section.model.head].gives}
        return made.with_teacher_branches({branch for need in missing if (branch := branch_for(need)) is not None})

    def _build(self, which: str, method: dict[str, Any], changes: list[Assignment], without: set[str]) -> _Unseeded:
        """A recipe.

        Args:
            which: for messages.
            method: that replaces the recipe's.
            changes: between those of the whole study and those of the command line.
            without: sections, and keys of `data`, that have no meaning here, wherever they are set for the whole study.
        """
        kept = {key: value for key, value in {**self.content, "method": method}.items() if key not in without}
        first, last = ([one for one in some if one.key[0] not in without] for some in (self.set, self.last))
        try:
            content = apply_assignments(kept, [*first, *changes])
        except ConfigError as error:
            raise ConfigError(str(error).replace("command line", f"{self.where}{which}", 1)) from None
        content = apply_assignments(content, last)
        if isinstance(data := content.get("data"), dict):
            content["data"] = {key: value for key, value in data.items() if f"data.{key}" not in without}
        typed = f" with {' '.join(self.arguments)} from the command line" if self.arguments else ""
        where = f"{self.where}{which}{typed}"
        return _Unseeded(build_recipe(content, where, self.base), decode(content, Recipe, where=where))

    def _method(self, name: str) -> Method:
        section = self.spec.variant(name).method
        return decode_tagged(section, METHODS, tag="name", where=self.where, prefix=f"methods.{name}.method")


def _is_shared(teacher: TeacherSpec | None) -> bool:
    """Whether a cell makes its checkpoint, which all students of a seed read: of a network of the data's classes."""
    return teacher is not None and teacher.model is not None and teacher.classes is None and teacher.class_map is None


def _is_taught(method: Method) -> bool:
    """Whether it learns from the recipe's teacher."""
    return method.needs_teacher and not method.trains_teachers


def _add_branches(teacher: TeacherSpec | None, branches: set[BranchName]) -> TeacherSpec:
    assert teacher is not None
    assert teacher.model is not None
    model = msgspec.structs.replace(teacher.model, branches=sorted({*teacher.model.branches, *branches}))
    return msgspec.structs.replace(teacher, model=model)


def _placed(loaded: LoadedRecipe, student: str, method: str, identity: str) -> LoadedRecipe:
    """The recipe with its run's folder below the study's."""
    recipe = loaded.recipe
    return with_sections(loaded, name=f"{recipe.name}/{student}/{method}-seed{recipe.seed}-{identity[:_DIGITS]}")
