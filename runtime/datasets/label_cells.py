"""What people and programs write into the label cells of a table."""

import ast
import json
import re
from collections.abc import Collection, Iterable
from typing import NamedTuple

from .base import NEGATIVE, POSITIVE, UNKNOWN
from .reading import truth

SEPARATORS = ";|"
# What pandas, numpy, R and databases write where there is no value; compared in small letters.
_NOTHING = {"nan", "-nan", "none", "null", "nil", "na", "n/a", "<na>", "nat", "#n/a", "#na"}
_BRACKETS = {"[": "]", "(": ")", "{": "}"}
# An item of a list and what ends it: a comma, or as in numpy's lists a space.
_ITEM = re.compile(r"""\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s,'"\\]+)(\s*,\s*|\s+|\Z)""", re.DOTALL)


class CellLabels(NamedTuple):
    """What a cell says.

    Attributes:
        names: the labels.
        missing: how many words for a missing value stood in place of a label.
        certain: whether it was written so that no name can be two: as a list, or as a known class.
    """

    names: list[str]
    missing: int
    certain: bool


def labels_in(cell: str, separator: str | None, classes: Collection[str]) -> CellLabels:
    """The labels of a cell.

    They stand between separators, or in a list as Python, JSON and numpy write it: `['cat', 'dog']`. A word for
    "no value" such as `nan` is no label. What is a class, though, is that class, however it is written.

    Args:
        cell: its text.
        separator: what stands between two labels; `;` and `|` when None.
        classes: the known ones, in something that is fast to look up in; empty when they are to be found out.

    Raises:
        ValueError: the cell looks like a list and cannot be read as one.
    """
    cell = cell.strip()
    if cell in classes:
        return CellLabels([cell], 0, certain=True)
    listed = _listed(cell)
    names = _split(cell, separator) if listed is None else listed
    if listed is None and cell.startswith(("[", "{")) and not all(name in classes for name in names):
        raise ValueError(f"{cell[:80]!r} looks like a list but cannot be read as one")
    labels = [name for name in names if name in classes or name.lower() not in _NOTHING]
    return CellLabels(labels, len(names) - len(labels), certain=listed is not None)


def cell_of(names: Iterable[str]) -> str:
    """The cell of which `labels_in` reads these labels: `cat;dog`, or a list where a name holds what separates them."""
    listed = list(names)
    joined = SEPARATORS[0].join(listed)
    try:
        plain = labels_in(joined, None, ()).names == listed
    except ValueError:
        plain = False
    return joined if plain else json.dumps(listed, ensure_ascii=False)


def label_of(cell: str) -> int | None:
    """1, 0 or -1 as a cell says it: unknown when it is empty or a word such as nan. None when it says none of them."""
    cell = cell.strip().lower()
    if not cell or says_nothing(cell):
        return UNKNOWN
    present = truth(cell)
    if present is not None:
        return POSITIVE if present else NEGATIVE
    try:
        return UNKNOWN if float(cell) == UNKNOWN else None
    except ValueError:
        return None


def says_nothing(cell: str) -> bool:
    """Whether `cell` is a word for "no value", such as nan."""
    return cell.strip().lower() in _NOTHING


def _split(cell: str, separator: str | None) -> list[str]:
    if separator is None:
        separator = SEPARATORS[0]
        cell = cell.replace(SEPARATORS[1], separator)
    return [name.strip() for name in cell.split(separator) if name.strip()]


def _listed(cell: str) -> list[str] | None:
    """The items of a list of quoted names or of numbers; None when `cell` is no such list."""
    if len(cell) < 2 or _BRACKETS.get(cell[0]) != cell[-1]:
        return None
    inside, place, names = cell[1:-1].strip(), 0, []
    while place < len(inside):
        item = _ITEM.match(inside, place)
        name = _name(item.group(1)) if item else None
        if item is None or name is None:
            return None
        names.append(name.strip())
        place = item.end()
    return [name for name in names if name]


def _name(item: str) -> str | None:
    if item[0] not in "'\"":
        return item if says_nothing(item) or re.fullmatch(r"-?[0-9]+", item) else None
    try:
        return json.loads(item, strict=False)
    except ValueError:
        pass
    try:
        return str(ast.literal_eval(item))
    except (ValueError, SyntaxError):
        return None
