"""One training of a study."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from ..recipe.loaded import LoadedRecipe
from ..recipe.schema import TeacherSpec
from .record import cell_name
from .spec import TEACHER
from .test_sets import TestSets


@dataclass(frozen=True)
class Cell:
    """One training of a study: a student with a method under a seed, or the teacher of a seed.

    Attributes:
        student: its name in the study; "teacher" for the teacher.
        method: its name in the study; "" for the teacher.
        seed: of initialisation, order, augmentation and the validation split.
        loaded: the recipe; it still says how its teacher is trained.
        identity: equal for equal trainings, see `identity_of_student`.
        teacher: the cell that must be finished before this one.
        tests: what it is scored on.
    """

    student: str
    method: str
    seed: int
    loaded: LoadedRecipe
    identity: str
    teacher: "Cell | None" = None
    tests: TestSets = field(default_factory=TestSets)

    @property
    def name(self) -> str:
        """`<student>/<method>/<seed>`, or `teacher/<seed>`: what `--only` is matched with."""
        return cell_name(self.student, self.method, self.seed)

    @property
    def is_teacher(self) -> bool:
        """Whether it trains the teacher that the students of its seed share."""
        return self.student == TEACHER

    @property
    def folder(self) -> Path:
        """Its run's folder; the same cell with other settings has another."""
        return self.loaded.folder

    @property
    def role(self) -> str:
        """What the training is in its run, and the name of its folder there."""
        return TEACHER if self.is_teacher else "student"

    @property
    def checkpoint(self) -> Path:
        """Where its training leaves the best weights."""
        return self.folder / self.role / f"{self.role}.safetensors"

    @property
    def method_values(self) -> dict[str, Any]:
        """The method's registered name and every hyper-parameter, with the defaults that it has in the code now."""
        section = self.loaded.recipe.method
        name = section if isinstance(section, str) else section["name"]
        return {"name": name, **msgspec.to_builtins(self.loaded.method())}

    def runnable(self) -> LoadedRecipe:
        """The recipe with the checkpoint of the shared teacher, where there is one."""
        if self.teacher is None:
            return self.loaded
        own = self.loaded.recipe.teacher
        assert own is not None
        section = TeacherSpec(
            checkpoint=str(self.teacher.checkpoint.absolute()),
            cache=own.cache,
            accept=own.accept,
            input=own.input,
            per_image=own.per_image,
        )
        return with_sections(self.loaded, teacher=section)


def with_sections(loaded: LoadedRecipe, **sections: Any) -> LoadedRecipe:
    """The recipe with other values of its top-level keys."""
    return msgspec.structs.replace(loaded, recipe=msgspec.structs.replace(loaded.recipe, **sections))
