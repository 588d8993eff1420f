"""What a recipe's types cannot say, told before anything is computed."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..runtime.errors import ConfigError
from .continuing import check_start
from .data.augment import build_augmentations, read_augmentations
from .models.build import check_spec
from .teacher_cache.fields import fields_for

if TYPE_CHECKING:
    from .engine import TrainSettings
    from .recipe import LoadedRecipe

_SMALLEST = 16


def check(loaded: "LoadedRecipe") -> None:
    """Raise ConfigError, naming the file and the key, where the sections of a recipe do not fit each other."""
    recipe, where, teacher = loaded.recipe, loaded.where, loaded.recipe.teacher
    _check_teachers_fit(loaded)
    if teacher is not None and (teacher.checkpoint is None) == (teacher.model is None):
        raise ConfigError(f"{where}: `teacher` needs either `checkpoint` or `model`.")
    if teacher is not None and teacher.model is not None and teacher.train is None and not teacher.model.pretrained:
        raise ConfigError(
            f"{where}: `teacher` needs `train`, or `model.pretrained` with weights that teach as they are."
        )
    if min(recipe.input.preprocessing().size) < _SMALLEST:
        raise ConfigError(
            f"{where}: `input.size`: {recipe.input.size} is too small, at least {_SMALLEST} pixels a side."
        )
    if isinstance(recipe.data.validation, float) and not 0 < recipe.data.validation < 1:
        raise ConfigError(f"{where}: `data.validation` is a share between 0 and 1, or a dataset.")
    files = {"teacher.checkpoint": teacher.checkpoint if teacher else None}
    for role, spec in (("student", recipe.student), ("teacher", teacher)):
        if spec is not None and spec.model is not None:
            check_spec(spec.model, where=f"{where}: `{role}.model`")
            if spec.model.pretrained != "imagenet":
                files[f"{role}.model.pretrained"] = spec.model.pretrained
            files[f"{role}.model.class_embeddings"] = spec.model.class_embeddings
        if spec is not None and spec.train is not None:
            size = recipe.input.preprocessing().size
            prefix = f"{role}.train.augment"
            build_augmentations(read_augmentations(spec.train.augment, where=where, prefix=prefix), size)
    tasks = loaded.tasks()
    _check_pieces(where, "teacher.train", teacher and teacher.train)
    _check_pieces(where, "student.train", recipe.student.train)
    _check_pieces(where, "tasks.train", tasks and tasks.settings)
    if tasks is not None:
        augment = read_augmentations(tasks.settings.augment, where=where, prefix="tasks.train.augment")
        build_augmentations(augment, recipe.input.preprocessing().size)
    for key, path in files.items():
        if path is not None and not Path(loaded.resolve(path)).is_file():
            raise ConfigError(f"{where}: `{key}`: {loaded.resolve(path)} is no file.")
    try:
        loaded.targets()
    except ConfigError as error:
        raise ConfigError(f"{where}: `export.targets`: {error}") from None


def _check_pieces(where: str, key: str, settings: "TrainSettings | None") -> None:
    if settings is not None and settings.batch_size % settings.accumulate:
        raise ConfigError(
            f"{where}: `{key}`: batch_size {settings.batch_size} is that of a whole step and cannot be computed in "
            f"{settings.accumulate} equal pieces (`accumulate`)."
        )


def _check_teachers_fit(loaded: "LoadedRecipe") -> None:
    """The method has the teacher that it needs, from one place."""
    recipe, where, method = loaded.recipe, loaded.where, loaded.method()
    name = recipe.method if isinstance(recipe.method, str) else recipe.method["name"]
    if method.trains_teachers and recipe.teacher is not None:
        raise ConfigError(
            f"{where}: method {name!r} trains its own teachers, one for each of its sub-tasks (`tasks:`): remove the "
            "`teacher:` section (`teacher=null` on the command line)."
        )
    if not method.trains_teachers and recipe.tasks is not None:
        raise ConfigError(
            f"{where}: `tasks` is for methods that train their own teachers (cpsd); method {name!r} has no sub-tasks: "
            "remove the section."
        )
    check_start(loaded)
    if method.needs_teacher and not loaded.has_teacher:
        raise ConfigError(f"{where}: `method` learns from a teacher: add a `teacher:` section.")
    if recipe.teacher is not None and recipe.teacher.cache:
        try:
            fields_for(method.needs)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
