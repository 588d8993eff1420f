"""Which losses can be weighted by class or learn from mixed images, told before anything is computed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...runtime.errors import ConfigError
from ..methods.supervised import loss_of

if TYPE_CHECKING:
    from ..engine import TrainSettings
    from ..methods import Method
    from .loaded import LoadedRecipe


def check_labels(loaded: "LoadedRecipe") -> None:
    """Raise ConfigError where a training mixes images or weighs classes, and its terms know no such thing."""
    recipe, int8, tasks = loaded.recipe, loaded.int8(), loaded.tasks()
    method, student = loaded.method(), recipe.student.model
    _check(loaded, "student.train", recipe.student.train, method, student.branches)
    if int8 is not None:
        _check(loaded, "student.int8.train", int8.settings, method, student.branches)
    if tasks is not None:
        _check(loaded, "tasks.train", tasks.settings, method, student.branches)
    if recipe.teacher is not None and recipe.teacher.model is not None and recipe.teacher.train is not None:
        branches = recipe.teacher.model.branches
        _check(loaded, "teacher.train", recipe.teacher.train, loaded.teacher_method(), branches)


def _check(
    loaded: "LoadedRecipe", key: str, settings: "TrainSettings", method: "Method", branches: Sequence[str]
) -> None:
    if settings.class_weights is not None:
        _check_weights(loaded, f"{key}.class_weights", settings, method)
    if settings.mix is None:
        return
    loss, section = loss_of(method.learns_by), loaded.tasks() or loaded.recipe.teacher
    if not loss.by_label:
        reason = f"the loss {loss.name!r} ranks an image's labels: choose bce, asl or label_smoothing"
    elif "embeddings" in method.needs:
        reason = "the method compares images by the labels that they have, and a mixed image has shares of labels"
    elif "calibration_logits" in method.needs or "calibration" in branches:
        reason = "the calibration branch ranks an image's labels against each other"
    elif key.startswith("student") and section is not None and section.cache:
        reason = "the teacher is asked about mixed images, which are not stored: remove `cache: true`"
    else:
        return
    raise ConfigError(f"{loaded.where}: `{key}.mix`: {reason}. Or leave `mix` out.")


def _check_weights(loaded: "LoadedRecipe", key: str, settings: "TrainSettings", method: "Method") -> None:
    loss = loss_of(method.learns_by)
    if method.supervised is None:
        reason = "the method has no supervised loss: name one (`method.supervised: bce`)"
    elif not loss.by_label:
        reason = f"the loss {loss.name!r} ranks an image's labels: choose bce, asl or label_smoothing"
    elif isinstance(settings.class_weights, dict) and key.startswith("tasks"):
        reason = "a sub-task has some of the classes: choose `inverse_frequency` or `effective_number`"
    else:
        return
    raise ConfigError(f"{loaded.where}: `{key}`: {reason}. Or leave `class_weights` out.")
