"""How each network's images are made: mean and deviation as the recipe says, else as the network's weights learned."""

import msgspec

from ...runtime.errors import ConfigError
from ...runtime.preprocess import Preprocessing
from ..models import ModelSpec
from ..models.library_inputs import own_normalisation
from .schema import Recipe

_SMALLEST = 16  # pixels of a side


def student_preprocessing(recipe: Recipe) -> Preprocessing:
    """Image file -> the student's input; one that continues a teacher's weights has the teacher's normalisation."""
    teacher = recipe.teacher
    if recipe.student.start == "teacher" and teacher is not None and teacher.model is not None:
        said = recipe.input.mean, recipe.input.std
        shown = teacher_preprocessing(recipe)
        own = recipe.input.preprocessing()
        return msgspec.structs.replace(own, mean=said[0] or shown.mean, std=said[1] or shown.std)
    return _normalised(recipe, recipe.student.model)


def teacher_preprocessing(recipe: Recipe) -> Preprocessing:
    """Image file -> the input of the recipe's own teacher."""
    teacher = recipe.teacher
    assert teacher is not None
    shared = recipe.input.preprocessing() if teacher.model is None else _normalised(recipe, teacher.model)
    return teacher.input.of(shared)


def require_side(size: tuple[int, int], where: str) -> None:
    """Raise ConfigError for an image of (height, width) that no network can look at; `where` names the key."""
    if min(size) < _SMALLEST:
        raise ConfigError(f"{where}: {size[0]} x {size[1]} is too small, at least {_SMALLEST} pixels a side.")


def _normalised(recipe: Recipe, model: ModelSpec) -> Preprocessing:
    mean, std = own_normalisation(model)
    shared = recipe.input.preprocessing()
    return msgspec.structs.replace(shared, mean=recipe.input.mean or mean, std=recipe.input.std or std)
