"""Which losses can be weighted by class or learn from mixed images, told before anything is computed."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from ...runtime.errors import ConfigError
from ..methods.supervised import loss_of

if TYPE_CHECKING:
    from ..engine import TrainSettings
    from ..methods import Method
    from .loaded import LoadedRecipe


_RELATES = "ranks an image's labels, or weighs them by each other"


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


def why_not_mixed(method: "Method", branches: Collection[str]) -> str | None:
    """What about a method, or a network's training-only `branches`, knows no shares of labels; None where all does."""
    loss = loss_of(method.learns_by)
    if not loss.by_label:
        return f"the loss {loss.name!r} {_RELATES}: choose bce, asl, focal or label_smoothing"
    if "embeddings" in method.needs:
        return "the method compares images by the labels that they have, and a mixed image has shares of labels"
    if method.asks_presence:
        return "the method compares present labels with absent ones, and a mixed image has shares of labels"
    if "calibration_logits" in method.needs or "calibration" in branches:
        return "the calibration branch ranks an image's labels against each other"
    return None


def why_not_weighed(method: "Method") -> str | None:
    """What about a method knows no weights of classes; None where its supervised loss takes them."""
    loss = loss_of(method.learns_by)
    if method.supervised is None:
        return "the method has no supervised loss: name one (`method.supervised: bce`)"
    if not loss.by_label:
        return f"the loss {loss.name!r} {_RELATES}: choose bce, asl, focal or label_smoothing"
    return None


def _check(
    loaded: "LoadedRecipe", key: str, settings: "TrainSettings", method: "Method", branches: Sequence[str]
) -> None:
    if settings.class_weights is not None:
        reason = why_not_weighed(method)
        if reason is None and isinstance(settings.class_weights, dict) and key.startswith("tasks"):
            reason = "a sub-task has some of the classes: choose `inverse_frequency` or `effective_number`"
        _refuse(loaded.where, key, "class_weights", reason)
    if settings.mix is not None:
        reason, section = why_not_mixed(method, branches), loaded.tasks() or loaded.recipe.teacher
        if reason is None and key.startswith("student") and section is not None and section.cache:
            reason = "the teacher is asked about mixed images, which are not stored: remove `cache: true`"
        _refuse(loaded.where, key, "mix", reason)


def _refuse(where: str, section: str, key: str, reason: str | None) -> None:
    if reason is not None:
        raise ConfigError(f"{where}: `{section}.{key}`: {reason}. Or leave `{key}` out.")
