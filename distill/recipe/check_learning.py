"""Whether something is left that learns, told before a teacher is trained for it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...runtime.errors import ConfigError
from ..methods.base import Method
from ..models.branches import branch_for
from ..models.heads import HEADS

if TYPE_CHECKING:
    from ..engine import TrainSettings
    from ..models import ModelSpec
    from .loaded import LoadedRecipe


def check_learning(loaded: "LoadedRecipe") -> None:
    """Raise ConfigError where `parts` freezes all that a training has."""
    recipe, int8, tasks = loaded.recipe, loaded.int8(), loaded.tasks()
    student, teacher = recipe.student, recipe.teacher
    _check(loaded, "student.train", student.train, _added(loaded.method(), student.model))
    if int8 is not None:
        _check(loaded, "student.int8.train", int8.settings, _added(loaded.method(), student.model))
    if tasks is not None:
        _check(loaded, "tasks.train", tasks.settings, student.model.branches)
    if teacher is not None and teacher.model is not None and teacher.train is not None:
        _check(loaded, "teacher.train", teacher.train, teacher.model.branches)


def _added(method: Method, student: "ModelSpec") -> Sequence[str]:
    """What the method and `branches` add to the student, as far as a recipe tells; a stranger's method may add."""
    own_part = type(method).build_part is not Method.build_part
    needed = [name for need in method.needs if (name := branch_for(need)) and HEADS[student.head].gives != need]
    return [*student.branches, *needed, *(["part"] if own_part else [])]


def _check(loaded: "LoadedRecipe", key: str, settings: "TrainSettings", added: Sequence[str]) -> None:
    parts = settings.parts
    if parts.backbone.freezes(0) and parts.head.freezes(0) and (not added or parts.method.freezes(0)):
        raise ConfigError(
            f"{loaded.where}: `{key}.parts` freezes all that there is in the first epoch: leave a part that learns."
        )
