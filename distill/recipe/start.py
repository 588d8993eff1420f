"""Whether a student can continue its teacher's weights: `student.start: teacher`."""

import msgspec

from ...runtime.errors import ConfigError
from ...runtime.preprocess import Preprocessing
from ..models import ModelSpec
from .inputs import student_preprocessing, teacher_preprocessing
from .loaded import LoadedRecipe

_FILES = {"pretrained": None, "class_embeddings": None}  # the weights that they hold are the teacher's


def refuse_another_network(
    model: ModelSpec, preprocessing: Preprocessing, teacher: ModelSpec, shown: Preprocessing, where: str
) -> None:
    """Raise ConfigError where a student that continues a teacher would be another network than it.

    Args:
        model: the student's.
        preprocessing: the student's; size and resizing are its own choice, the normalisation is part of the network.
        teacher: the teacher's network; its training-only branches may be others.
        shown: the teacher's preprocessing.
        where: for the message.
    """
    mine, given = (msgspec.structs.asdict(spec) | {"branches": None} | _FILES for spec in (model, teacher))
    for key in ("mean", "std"):
        mine[key], given[key] = getattr(preprocessing, key), getattr(shown, key)
    differing = [f"`{key}` is {mine[key]}, the teacher's {given[key]}" for key in mine if mine[key] != given[key]]
    if differing:
        raise refusal(where, "; ".join(differing))


def check_start(loaded: LoadedRecipe) -> None:
    """Raise ConfigError for a student that continues nothing, or a teacher of the recipe that is another network."""
    recipe, where = loaded.recipe, loaded.where
    if recipe.student.start != "teacher":
        return
    if recipe.teacher is None:
        raise ConfigError(
            f"{where}: `student.start: teacher` continues from a teacher's weights: add a `teacher:` section."
        )
    if recipe.teacher.model is not None:
        shown = student_preprocessing(recipe), teacher_preprocessing(recipe)
        refuse_another_network(recipe.student.model, shown[0], recipe.teacher.model, shown[1], where)


def refusal(where: str, differing: str) -> ConfigError:
    """For a student that is another network than its teacher; `differing` says how."""
    return ConfigError(
        f"{where}: `student.start: teacher` continues the teacher's network, and the student's is another one "
        f"({differing})."
    )
