"""KEY=VALUE arguments of the command line: changes to a recipe, made before it is checked."""

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import yaml

from ...runtime.errors import ConfigError
from ...runtime.yaml_text import parse_yaml

_ALIASES = {"train": ("student", "train")}


class Assignment(NamedTuple):
    """One KEY=VALUE.

    Attributes:
        text: as it was typed.
        key: from the top of the recipe, e.g. ("student", "train", "epochs").
        value: plain data, as YAML reads it.
    """

    text: str
    key: tuple[str, ...]
    value: Any


def parse_assignment(text: str) -> Assignment:
    """Read `dotted.key=value`; the value is YAML, and `train.` is short for `student.train.`.

    Raises:
        ConfigError: no `=`, no proper key, or a value that is not valid YAML.
    """
    dotted, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"command line: `{text}` is no KEY=VALUE, such as train.epochs=10.")
    key = tuple(dotted.split("."))
    if not all(part and part == part.strip() for part in key):
        raise ConfigError(f"command line: `{text}`: `{dotted}` is no key: names with dots between, as in train.epochs.")
    try:
        return Assignment(text, (*_ALIASES.get(key[0], key[:1]), *key[1:]), parse_yaml(value))
    except yaml.YAMLError as error:
        reason = getattr(error, "problem", None) or "it cannot be read"
        raise ConfigError(f"command line: `{text}`: the value is not valid YAML ({reason}).") from None


def apply_assignments(content: dict[str, Any], assignments: Sequence[Assignment]) -> dict[str, Any]:
    """The recipe's plain data with the assignments made in order: of two to the same key, the last holds.

    A section that is absent or null begins empty. A name that stands for {name: ...} (`method`, its `supervised`, an
    augmentation) becomes that mapping when one of its keys is set. Elements of a list are set by their index, from 0.

    Raises:
        ConfigError: a key leads into a plain value, or outside a list.
    """
    changed = copy.deepcopy(content)
    for assignment in assignments:
        _assign(changed, assignment)
    return changed


def find_mistaken(
    assignments: Sequence[Assignment], attempt: Callable[[Sequence[Assignment]], object], mistake: ConfigError
) -> list[Assignment]:
    """The assignments that bring a mistake about: those without which it is not made.

    Args:
        assignments: all of them.
        attempt: reads the recipe with some of them; raises ConfigError where it cannot.
        mistake: what it raised with all of them.

    Returns:
        Empty where the recipe makes the mistake on its own; all, where it takes two at once to undo it.
    """

    def remains(chosen: Sequence[Assignment]) -> bool:
        try:
            attempt(chosen)
        except ConfigError as error:
            return str(error) == str(mistake)
        return False

    if not assignments or remains(()):
        return []
    needed = [
        one
        for number, one in enumerate(assignments)
        if not remains([*assignments[:number], *assignments[number + 1 :]])
    ]
    return needed or list(assignments)


def _assign(content: dict[str, Any], assignment: Assignment) -> None:
    section: Any = content
    key = assignment.key
    for depth, part in enumerate(key[:-1], start=1):
        _check_index(section, part, key[: depth - 1], assignment)
        inner = _get(section, part)
        if inner is None and key[depth].isdecimal():
            raise _refusal(assignment, f"`{_dotted(key[:depth])}` is no list in the recipe; give the whole list")
        if inner is None:
            inner = {}
        elif isinstance(inner, str) and _stands_for_a_mapping(key[:depth]):
            inner = {"name": inner}
        elif not isinstance(inner, dict | list):
            raise _refusal(assignment, f"`{_dotted(key[:depth])}` is {inner!r} in the recipe and holds no keys")
        _set(section, part, inner)
        section = inner
    _check_index(section, key[-1], key[:-1], assignment)
    _set(section, key[-1], copy.deepcopy(assignment.value))


def _stands_for_a_mapping(key: tuple[str, ...]) -> bool:
    """Whether a bare name at this place is short for {name: ...}."""
    return key[-2:] in (("method",), ("method", "supervised"), ("teacher", "method")) or (
        len(key) > 1 and key[-2] == "augment"
    )


def _get(section: dict[str, Any] | list[Any], part: str) -> Any:
    return section[int(part)] if isinstance(section, list) else section.get(part)


def _set(section: dict[str, Any] | list[Any], part: str, value: Any) -> None:
    if isinstance(section, list):
        section[int(part)] = value
    else:
        section[part] = value


def _check_index(section: Any, part: str, key: tuple[str, ...], assignment: Assignment) -> None:
    if isinstance(section, list) and not (part.isdecimal() and int(part) < len(section)):
        held = f"holds 0 to {len(section) - 1}" if section else "is empty"
        raise _refusal(assignment, f"the list `{_dotted(key)}` {held}, not {part!r}; or give the whole list")


def _refusal(assignment: Assignment, reason: str) -> ConfigError:
    return ConfigError(f"command line: `{assignment.text}`: {reason}.")


def _dotted(key: tuple[str, ...]) -> str:
    return ".".join(key)
