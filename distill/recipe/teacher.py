"""Which keys of a recipe's `teacher:` go together, and with which methods."""

from ...runtime.errors import ConfigError
from ..data.views import require_known_flips
from ..methods.shown import require_one_size, require_shown
from .inputs import require_side
from .loaded import LoadedRecipe

_KINDS = ("checkpoint", "model", "onnx", "callable", "scores")


def check_teacher(loaded: LoadedRecipe) -> None:
    """Raise ConfigError for a teacher of no kind or of several, or keys that do not belong to its kind."""
    teacher, where = loaded.recipe.teacher, loaded.where
    if teacher is None:
        return
    kinds = [key for key in _KINDS if getattr(teacher, key) is not None]
    if len(kinds) != 1:
        found = f"`{'` and `'.join(kinds)}`" if kinds else "none"
        raise ConfigError(f"{where}: `teacher` needs one of `{'`, `'.join(_KINDS)}`, and has {found}.")
    (kind,) = kinds
    if teacher.outside and teacher.scale is None:
        raise ConfigError(
            f"{where}: `teacher.{kind}` needs `teacher.scale: logits` or `probabilities`: which of the two it gives."
        )
    if teacher.outside is None and teacher.scale is not None:
        raise ConfigError(f"{where}: `teacher.scale` is for onnx, callable and scores; a {kind} gives logits.")
    if teacher.train is not None and (kind != "model" or teacher.classes or teacher.class_map):
        raise ConfigError(
            f"{where}: `teacher.train` trains a `teacher.model` on the data's classes: remove it, or "
            f"{'`classes` and `class_map`' if kind == 'model' else f'`teacher.{kind}`'}."
        )
    if kind == "checkpoint" and teacher.classes is not None:
        raise ConfigError(f"{where}: `teacher.classes` are in the checkpoint already: remove the key.")
    if kind == "scores" and teacher.cache is not None:
        raise ConfigError(f"{where}: `teacher.cache` has no effect on scores, which are stored already: remove it.")
    if kind == "callable" and not all((teacher.callable or "").partition(":")):
        raise ConfigError(
            f"{where}: `teacher.callable`: {teacher.callable!r} is not written as package.module:function: name the "
            "function after a colon."
        )
    _check_needs(loaded, kind)
    _check_input(loaded, kind)
    _check_per_image(loaded, kind)


def _check_needs(loaded: LoadedRecipe, kind: str) -> None:
    teacher = loaded.recipe.teacher
    assert teacher is not None
    outside = teacher.outside is not None
    mapped = teacher.classes is not None or teacher.class_map is not None
    whom = f"`teacher.{kind}`{'' if outside else ' with its own classes'}"
    require_shown(loaded.method(), whom, loaded.where, outside=outside, mapped=mapped)
    if loaded.recipe.student.start == "teacher" and (outside or mapped):
        raise ConfigError(f"{loaded.where}: `student.start: teacher` continues a network, and this teacher shows none.")


def _check_input(loaded: LoadedRecipe, kind: str) -> None:
    teacher, method, where = loaded.recipe.teacher, loaded.method(), loaded.where
    assert teacher is not None
    if kind == "scores" and teacher.input != type(teacher.input)():
        raise ConfigError(f"{where}: `teacher.input` has no effect on scores, which are those of a file: remove it.")
    if kind == "checkpoint" and (teacher.input.mean or teacher.input.std):
        raise ConfigError(f"{where}: `teacher.input.mean` and `std` are in the checkpoint already: remove them.")
    knows_images_alone = "scores" if kind == "scores" else "per_image" if teacher.per_image is not None else None
    for training in loaded.trainings():
        taught = training.key.startswith("student") and method.needs_teacher
        if knows_images_alone is not None and taught and training.settings.mix is not None:
            raise ConfigError(
                f"{where}: `{training.key}.mix` asks the teacher about mixed images, which "
                f"`teacher.{knows_images_alone}` does not know: leave it out."
            )
    shared = loaded.recipe.input.preprocessing()
    own = teacher.input.of(shared).size
    if teacher.input.size is not None:
        require_side(own, f"{where}: `teacher.input.size`")
    if own != shared.size:
        require_one_size(method, f"{where}: `teacher.input.size`")


def _check_per_image(loaded: LoadedRecipe, kind: str) -> None:
    teacher, where = loaded.recipe.teacher, loaded.where
    assert teacher is not None
    asked = teacher.per_image
    if asked is None:
        return
    if kind == "scores":
        raise ConfigError(f"{where}: `teacher.per_image` has no effect on scores, which are per image: remove it.")
    if teacher.cache is not None:
        raise ConfigError(f"{where}: `teacher.cache`: what `teacher.per_image` asks is always stored: remove `cache`.")
    if asked.size is not None:
        key = f"{where}: `teacher.per_image.size`"
        if kind in ("onnx", "callable"):
            raise ConfigError(f"{key}: {kind} takes images of `teacher.input.size`: set that instead.")
        require_side(asked.of(loaded.recipe.input.preprocessing()).size, key)
    require_shown(loaded.method(), "a teacher that is asked per image", where, outside=True, mapped=False)
    if loaded.method().needs_teacher and "flip" not in asked.tta:
        steps, size = loaded.recipe.student.train.augment, loaded.recipe.input.preprocessing().size
        require_known_flips(steps, size, where=f"{where}: `student.train.augment`")
