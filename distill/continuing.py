"""A student that continues its teacher's weights: `student.start: teacher`."""

import copy
from typing import TYPE_CHECKING

import msgspec

from ..runtime.errors import ConfigError
from ..runtime.preprocess import Preprocessing
from .models import Classifier, ModelSpec

if TYPE_CHECKING:
    from .recipe import LoadedRecipe

_TRAINING_ONLY = "branches."
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
        raise _refusal(where, "; ".join(differing))


def check_start(loaded: "LoadedRecipe") -> None:
    """Raise ConfigError for a student that continues nothing, or a teacher of the recipe that is another network."""
    recipe, where = loaded.recipe, loaded.where
    if recipe.student.start != "teacher":
        return
    if recipe.teacher is None:
        raise ConfigError(
            f"{where}: `student.start: teacher` continues from a teacher's weights: add a `teacher:` section."
        )
    if recipe.teacher.model is not None:
        shown = recipe.teacher.preprocessing(recipe.input.preprocessing())
        refuse_another_network(recipe.student.model, recipe.input.preprocessing(), recipe.teacher.model, shown, where)


def continue_from(model: Classifier, start: Classifier, where: str) -> None:
    """Give a network the weights of another, those of the training-only branches included that both have.

    Raises:
        ConfigError: they are not the same network.
    """
    own, given = model.state_dict(), start.state_dict()
    shared = {name for name in own if name in given and own[name].shape == given[name].shape}
    differing = sorted(
        name for name in own.keys() | given.keys() if name not in shared and not name.startswith(_TRAINING_ONLY)
    )
    if differing:
        raise _refusal(where, f"{differing[0]} and {len(differing) - 1} more weights differ")
    model.load_state_dict({**own, **{name: given[name] for name in shared}})


def sharing_weights(model: Classifier) -> Classifier:
    """A copy of the modules around the same weights: what is detached from one of the two stays in the other."""
    return copy.deepcopy(model, {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())})


def _refusal(where: str, differing: str) -> ConfigError:
    return ConfigError(
        f"{where}: `student.start: teacher` continues the teacher's network, and the student's is another one "
        f"({differing})."
    )
