"""What a recipe's types cannot say, told before anything is computed."""

from pathlib import Path
from typing import TYPE_CHECKING

from ...runtime.errors import ConfigError
from ...runtime.metrics import threshold_rule
from ..methods.supervised import loss_of
from ..models.branches import branch_for
from ..models.build import check_spec
from ..models.heads import HEADS
from ..models.weights import DIGITS
from ..teacher_cache.fields import fields_for
from .check_training import check_training
from .inputs import require_side
from .start import check_start
from .teacher import check_teacher

if TYPE_CHECKING:
    from ..methods import Method
    from .loaded import LoadedRecipe


def check(loaded: "LoadedRecipe") -> None:
    """Raise ConfigError, naming the file and the key, where the sections of a recipe do not fit each other."""
    recipe, where, teacher = loaded.recipe, loaded.where, loaded.recipe.teacher
    _check_name(loaded)
    _check_teachers_fit(loaded)
    _check_teacher_method(loaded)
    _check_labels_are_learned(loaded)
    _check_unknown(loaded)
    check_teacher(loaded)
    model = None if teacher is None or teacher.train is not None else teacher.model
    if model is not None and model.pretrained in (None, DIGITS):
        raise ConfigError(
            f"{where}: `teacher` needs `train`, or `model.pretrained` with weights that teach as they are."
        )
    require_side(recipe.input.preprocessing().size, f"{where}: `input.size`")
    if isinstance(recipe.data.validation, float) and not 0 < recipe.data.validation < 1:
        raise ConfigError(f"{where}: `data.validation` is a share between 0 and 1, or a dataset.")
    if isinstance(recipe.data.validation, dict) and recipe.data.validation_seed is not None:
        raise _without_effect(
            where, "data.validation_seed", "`data.validation` is a dataset, of which nothing is drawn"
        )
    files = {f"teacher.{key}": getattr(teacher, key, None) for key in ("checkpoint", "onnx", "scores")}
    for role, spec in (("student", recipe.student), ("teacher", teacher)):
        if spec is not None and spec.model is not None:
            check_spec(spec.model, where=f"{where}: `{role}.model`")
            files[f"{role}.model.pretrained"] = spec.model.pretrained_path
            files[f"{role}.model.class_embeddings"] = spec.model.class_embeddings
    _check_int8(loaded)
    for training in loaded.trainings():
        check_training(loaded, training)
    for key, path in files.items():
        if path is not None and not Path(loaded.resolve(path)).is_file():
            raise ConfigError(f"{where}: `{key}`: {loaded.resolve(path)} is no file.")
    _check_export(loaded)


def _check_name(loaded: "LoadedRecipe") -> None:
    name = loaded.recipe.name
    if not name or Path(name).is_absolute() or {"..", "."} & set(name.split("/")):
        raise ConfigError(
            f"{loaded.where}: `name`: {name!r} is no folder below the output folder: give a name, such as trial or "
            "group/trial."
        )


def _check_export(loaded: "LoadedRecipe") -> None:
    key = "thresholds"
    try:
        threshold_rule(loaded.recipe.export.thresholds)
        key = "targets"
        loaded.targets()
    except ConfigError as error:
        raise ConfigError(f"{loaded.where}: `export.{key}`: {error}") from None


def _check_int8(loaded: "LoadedRecipe") -> None:
    if loaded.int8() is not None and "attention" in loaded.method().needs:
        raise ConfigError(
            f"{loaded.where}: `student.int8`: the method's attention asks the head about single positions, and a "
            "network in int8 is one graph: set `method.beta: 0` or leave `student.int8` out."
        )


def _check_teachers_fit(loaded: "LoadedRecipe") -> None:
    """The method has the teacher that it needs, from one place."""
    recipe, where, method = loaded.recipe, loaded.where, loaded.method()
    name = recipe.method_name
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


def _check_teacher_method(loaded: "LoadedRecipe") -> None:
    where, teacher = loaded.where, loaded.recipe.teacher
    if teacher is None or teacher.method is None:
        return
    if teacher.train is None:
        raise ConfigError(
            f"{where}: `teacher.method` says how the teacher is trained, and this recipe trains none: remove it, or "
            "add `teacher.model` and `teacher.train`."
        )
    method = loaded.teacher_method()
    if method.needs_teacher:
        raise ConfigError(f"{where}: `teacher.method` learns from a teacher, and the teacher has none: set `vanilla`.")
    branches = () if teacher.model is None else teacher.model.branches
    if _weighs_calibration(method) and "calibration" not in branches:
        raise _without_effect(where, "teacher.method.lambda_calibration", "the teacher has no calibration branch")


def _check_labels_are_learned(loaded: "LoadedRecipe") -> None:
    """What the method says of the annotations has an effect on a training of this recipe."""
    where, recipe, method = loaded.where, loaded.recipe, loaded.method()
    spec = recipe.student.model
    own = set(spec.branches)
    taught = own | {branch_for(need) for need in method.needs}
    # They learn from the annotations whatever the method's student does.
    others = recipe.baseline or method.trains_teachers
    calibrated = "calibration" in taught and "calibration_logits" in method.labelled
    if _weighs_calibration(method) and not calibrated and not (others and "calibration" in own):
        reason = "no calibration branch of the student learns from the annotations"
        raise _without_effect(where, "method.lambda_calibration", reason)
    decoded = "ml_decoder" in taught and HEADS[spec.head].gives is None and "embedding_logits" in method.labelled
    chosen, default = (loss_of(one.learns_by) for one in (method, type(method)()))
    if chosen != default and not (others or decoded or "logits" in method.labelled):
        raise _without_effect(where, "method.supervised", "nothing in the student learns from the annotations")


def _check_unknown(loaded: "LoadedRecipe") -> None:
    data, where = loaded.recipe.data, loaded.where
    if data.unlabelled is not None and data.unknown == "ignore":
        raise ConfigError(
            f"{where}: `data.unlabelled` photographs teach by what the teacher says of them, which `data.unknown: "
            "ignore` leaves out: set it to distil, or remove one of the two."
        )
    if data.hears_unknown == "distil" and not (loaded.has_teacher and loaded.method().needs_teacher):
        key = "data.unknown" if data.unlabelled is None else "data.unlabelled"
        raise _without_effect(where, key, "no teacher speaks of what has no label")


def _weighs_calibration(method: "Method") -> bool:
    return method.lambda_calibration != type(method)().lambda_calibration


def _without_effect(where: str, key: str, reason: str) -> ConfigError:
    return ConfigError(f"{where}: `{key}` would have no effect: {reason}. Remove the key.")
