"""The keyword arguments of `distil` that belong to the training."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from msgspec import Meta

from ...runtime.config import Config, decode
from ...runtime.errors import ConfigError
from ..engine import TrainSettings
from ..methods import METHODS, Method
from ..recipe.schema import PerImage

T = TypeVar("T")

_WHERE = "distil"
_ELSEWHERE = {
    "learning_rate": "it is `lr`",
    "device": "the GPU is taken where there is one; CUDA_VISIBLE_DEVICES hides it",
    "transform": "it is `augment`, a list of names",
    "cache": "a teacher's outputs are stored where a view is shown again: `views=1`, or `augment=[]`",
}


class _Arguments(Config):
    """What `distil` takes beside settings, networks and data."""

    method: str | dict[str, Any]
    folder: str
    seed: Annotated[int, Meta(ge=0, lt=2**32)]
    max_bad_share: Annotated[float, Meta(ge=0, le=1)]
    classes: list[str] | None
    teacher_classes: list[str] | None
    class_map: dict[str, str | int | list[str | int]] | None
    student_maps: str | list[str]
    teacher_maps: str | list[str]
    teacher_per_image: PerImage | None


def check_arguments(**given: Any) -> _Arguments:
    """The arguments as `_Arguments` has them; ConfigError, naming the argument, where one is of another kind."""
    return _decoded({name: _plain(value) for name, value in given.items()}, _Arguments)


def read_settings(given: dict[str, Any], own: Sequence[str], method: Method) -> TrainSettings:
    """What the caller asks of the training.

    Args:
        given: by name.
        own: the other arguments of `distil`, of which one may be meant.
        method: the objective, whose hyper-parameter may be meant.

    Raises:
        ConfigError: a name does not exist, with the nearest one, or a value is impossible.
    """
    for key in sorted(given.keys() - set(TrainSettings.__struct_fields__)):
        raise ConfigError(f"{_WHERE}: there is no argument `{key}`: {_advice(key, own, method)}")
    augment = given.get("augment")
    if not isinstance(augment, list | tuple | None) or any(not isinstance(one, str | dict) for one in augment or ()):
        raise ConfigError(
            f'{_WHERE}: `augment` is a list of names or mappings, such as ["flip", {{"name": "v2.ColorJitter", '
            '"brightness": 0.4}], not of transforms: their draws must be repeatable image by image.'
        )
    return _decoded(dict(given), TrainSettings)


def _decoded(given: dict[str, Any], kind: type[T]) -> T:
    try:
        return decode(given, kind, where=_WHERE)
    except (TypeError, NotImplementedError) as error:  # a value of a kind that no YAML holds
        raise ConfigError(f"{_WHERE}: {error}: give plain numbers, texts, lists and mappings.") from None


def _plain(value: Any) -> Any:
    """A text, a list or a mapping, of whichever class it is."""
    if isinstance(value, str | Path):
        return str(value)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, Sequence | np.ndarray) else value


def _advice(key: str, own: Sequence[str], method: Method) -> str:
    if key in _ELSEWHERE:
        return f"{_ELSEWHERE[key]}."
    have = [name for name in METHODS.names() if key in METHODS.get(name).__struct_fields__]
    if have:
        name = next((name for name in have if METHODS.get(name) is type(method)), have[0])
        return f'a method has it: `method={{"name": "{name}", "{key}": ...}}`.'
    near = difflib.get_close_matches(key, [*own, *TrainSettings.__struct_fields__], n=1)
    return f"did you mean `{near[0]}`?" if near else "`help(distil)` and docs/training.md list them."
