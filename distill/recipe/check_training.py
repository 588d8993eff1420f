"""Whether one of a recipe's trainings can be carried out, told before anything is computed."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from ...runtime.errors import ConfigError
from ..data.augment import build_augmentations, read_augmentations
from ..engine.loggers import require_loggers
from ..methods.base import Method
from ..methods.supervised import loss_of
from ..models.branches import branch_for
from ..models.heads import HEADS

if TYPE_CHECKING:
    from ..models import ModelSpec
    from .loaded import LoadedRecipe, RecipeTraining


_RELATES = "ranks an image's labels, or weighs them by each other"


def check_training(loaded: "LoadedRecipe", training: "RecipeTraining") -> None:
    """Raise ConfigError, naming the file and the key, where its settings do not fit each other or what they train."""
    where, key, settings = loaded.where, training.key, training.settings
    steps = read_augmentations(settings.augment, where=where, prefix=f"{key}.augment")
    build_augmentations(steps, training.size, where=f"{where}: `{key}.augment`")
    require_loggers(settings.loggers, f"{where}: `{key}.loggers`")
    if settings.batch_size % settings.accumulate:
        raise ConfigError(
            f"{where}: `{key}`: batch_size {settings.batch_size} is that of a whole step and cannot be computed in "
            f"{settings.accumulate} equal pieces (`accumulate`)."
        )
    _check_learning(where, training)
    _check_labels(loaded, training)


def why_not_mixed(method: Method, branches: Collection[str]) -> str | None:
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


def why_not_weighed(method: Method) -> str | None:
    """What about a method knows no weights of classes; None where its supervised loss takes them."""
    loss = loss_of(method.learns_by)
    if method.supervised is None:
        return "the method has no supervised loss: name one (`method.supervised: bce`)"
    if not loss.by_label:
        return f"the loss {loss.name!r} {_RELATES}: choose bce, asl, focal or label_smoothing"
    return None


def _check_learning(where: str, training: "RecipeTraining") -> None:
    """Something is left that learns."""
    parts, added = training.settings.parts, _added(training.method, training.model)
    if parts.backbone.freezes(0) and parts.head.freezes(0) and (not added or parts.method.freezes(0)):
        raise ConfigError(
            f"{where}: `{training.key}.parts` freezes all that there is in the first epoch: leave a part that learns."
        )


def _added(method: Method, model: "ModelSpec") -> Sequence[str]:
    """What the method and `branches` add to a network, as far as a recipe tells; a stranger's method may add."""
    own_part = type(method).build_part is not Method.build_part
    needed = [name for need in method.needs if (name := branch_for(need)) and HEADS[model.head].gives != need]
    return [*model.branches, *needed, *(["part"] if own_part else [])]


def _check_labels(loaded: "LoadedRecipe", training: "RecipeTraining") -> None:
    """Where images are mixed or classes weighed, its terms know such a thing."""
    key, settings, method = training.key, training.settings, training.method
    if settings.class_weights is not None:
        reason = why_not_weighed(method)
        if reason is None and isinstance(settings.class_weights, dict) and key == "tasks.train":
            reason = "a sub-task has some of the classes: choose `inverse_frequency` or `effective_number`"
        _refuse(loaded.where, key, "class_weights", reason)
    if settings.mix is not None:
        reason, section = why_not_mixed(method, training.model.branches), loaded.tasks() or loaded.recipe.teacher
        if reason is None and key.startswith("student") and section is not None and section.cache:
            reason = "the teacher is asked about mixed images, which are not stored: remove `cache: true`"
        _refuse(loaded.where, key, "mix", reason)


def _refuse(where: str, section: str, key: str, reason: str | None) -> None:
    if reason is not None:
        raise ConfigError(f"{where}: `{section}.{key}`: {reason}. Or leave `{key}` out.")
