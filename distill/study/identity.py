"""When two trainings are the same one, on whichever machine and in whichever folder they run."""

import hashlib
from collections.abc import Collection
from typing import Any

import msgspec

from ..engine import TrainSettings
from ..methods import Method
from ..recipe.schema import Recipe


def identity_of_teacher(recipe: Recipe) -> str:
    """SHA-256 over what decides the recipe's teacher.

    It takes what differs from a default, so that an option that is added to the code later, and is off, changes no
    identity. Paths count as they are written; names, folders and what is exported do not count.

    Args:
        recipe: with its `${VARIABLES}` not expanded.
    """
    return _digest(_teacher(recipe, {"cache", "accept", "per_image"}), _shared(recipe))


def identity_of_student(recipe: Recipe, method: Method) -> str:
    """SHA-256 over what decides the student that the recipe's method teaches; likewise.

    Args:
        recipe: with its `${VARIABLES}` not expanded.
        method: the recipe's.
    """
    student = given(recipe.student) | {"train": _training(recipe.student.train)}
    taught = {"method": [type(method).__name__, given(method)], "tasks": given(recipe.tasks)}
    return _digest(_teacher(recipe, {"accept"}), student, taught, _shared(recipe))


def given(value: Any) -> Any:
    """Plain data of a struct without the fields that are at their defaults."""
    if not isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value)
    fields = [(field, getattr(value, field.name)) for field in msgspec.structs.fields(value)]
    return {field.name: given(found) for field, found in fields if found != _default(field)}


def _shared(recipe: Recipe) -> dict[str, Any]:
    data = {key: value for key, value in given(recipe.data).items() if key != "max_bad_share"}
    return {"seed": recipe.seed, "data": data, "input": given(recipe.input)}


def _teacher(recipe: Recipe, without: Collection[str]) -> dict[str, Any] | None:
    if recipe.teacher is None:
        return None
    plain = {key: value for key, value in given(recipe.teacher).items() if key not in without}
    return plain if recipe.teacher.train is None else {**plain, "train": _training(recipe.teacher.train)}


def _training(settings: TrainSettings) -> dict[str, Any]:
    return {key: value for key, value in given(settings).items() if key in settings.deciding()}


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def _digest(*decides: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(decides, order="sorted")).hexdigest()
