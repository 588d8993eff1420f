"""Which of a teacher's classes stand for ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import torch
from torch import Tensor

from ...runtime.datasets.reading import nearest
from ...runtime.errors import ConfigError

Counterparts: TypeAlias = Mapping[str, str | int | list[str | int]]
"""Of a class of ours, the names or numbers of the teacher's."""

_NAMED = 5


@dataclass(frozen=True)
class ClassMap:
    """Which of a teacher's C' classes stand for each of our C.

    Attributes:
        columns: by class of ours, positions among the teacher's: of several the highest score counts; none means that
            the teacher says nothing of it.
    """

    columns: tuple[tuple[int, ...], ...]

    @property
    def silent(self) -> Tensor:
        """The classes that the teacher says nothing of, bool (C,)."""
        return torch.tensor([not found for found in self.columns])

    @cached_property
    def _padded(self) -> Tensor:
        most = max(map(len, self.columns))
        rows = [[*found, *[found[0]] * (most - len(found))] if found else [0] * most for found in self.columns]
        return torch.tensor(rows)

    def __call__(self, scores: Tensor) -> Tensor:
        """(B, C') -> (B, C), 0 where the teacher says nothing."""
        found = scores[:, self._padded.to(scores.device, non_blocking=True)].amax(dim=2)
        silent = self.silent.to(scores.device, non_blocking=True)
        return found.masked_fill(silent, 0.0)


def match_classes(
    ours: Sequence[str], theirs: Sequence[str] | None, count: int, given: Counterparts | None, where: str
) -> ClassMap:
    """Find a teacher's classes by what is given, and else by equal names; without any names they are ours, in order.

    Args:
        ours: C names.
        theirs: C' names, where they are known.
        count: C'.
        given: counterparts of some of ours; an empty list means that there is none.
        where: for messages, what `class_map` belongs to.

    Raises:
        ConfigError: a name or number is unknown, nothing matches, or the numbers of classes differ without any names.
    """
    if theirs is not None and len(theirs) != count:
        raise ConfigError(f"{where}: it gives {count} scores, and {len(theirs)} class names are told for them.")
    if theirs is None and given is None:
        if count != len(ours):
            raise ConfigError(
                f"{where}: it gives {count} scores and the data have {len(ours)} classes: tell its class names "
                "(`teacher.classes`), and `teacher.class_map` where they are called otherwise."
            )
        return ClassMap(tuple((place,) for place in range(count)))
    for name in given or ():
        if name not in ours:
            raise ConfigError(f"{where}: `class_map`: {name!r} is no class of the data.{_hint(name, ours)}")
    places = {name: place for place, name in enumerate(theirs or ())}
    columns = tuple(_columns(name, places, count, given or {}, where) for name in ours)
    if not any(columns):
        raise ConfigError(
            f"{where}: none of the data's classes has a counterpart among its {count} ({_listed(list(places))}): give "
            "a `class_map`."
        )
    return ClassMap(columns)


def told(classes: Sequence[str], silent: Tensor) -> str | None:
    """A clause about the classes that a teacher says nothing of; None where it knows all."""
    names = [name for name, nothing in zip(classes, silent.tolist(), strict=True) if nothing]
    return f"says nothing of {len(names)} of {len(classes)} classes ({_listed(names)})" if names else None


def _columns(name: str, places: Mapping[str, int], count: int, given: Counterparts, where: str) -> tuple[int, ...]:
    if name not in given:
        return (places[name],) if name in places else ()
    chosen = given[name]
    listed = chosen if isinstance(chosen, list) else [chosen]
    return tuple(_place(one, places, count, f"{where}: `class_map.{name}`") for one in listed)


def _place(chosen: str | int, places: Mapping[str, int], count: int, where: str) -> int:
    if isinstance(chosen, int) and 0 <= chosen < count:
        return chosen
    if isinstance(chosen, str) and chosen in places:
        return places[chosen]
    if isinstance(chosen, str) and not places:
        raise ConfigError(f"{where}: the teacher's class names are not known: give `teacher.classes`, or numbers.")
    raise ConfigError(f"{where}: {chosen!r} is none of the teacher's {count} classes.{_hint(str(chosen), places)}")


def _hint(name: str, known: Sequence[str] | Mapping[str, int]) -> str:
    near = nearest(name, known)
    return f" Did you mean {near!r}?" if near else ""


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
