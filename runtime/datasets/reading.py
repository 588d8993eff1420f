"""What the readers share: lists in text files, class names, truth values, and the errors that name a way out."""

import difflib
import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from ..errors import DataError
from ..text_files import read_text
from .base import POSITIVE, UNKNOWN

_LONGEST_NAME = 256
_TRUTHS = {"0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}


def resolve(base: Path, path: str) -> Path:
    """An option's path: `~` is expanded, a relative path is taken from `base`."""
    return base / os.path.expanduser(path)  # noqa: PTH111 (Path.expanduser raises where there is no such user)


def is_file(path: Path) -> bool:
    """Whether there is such a file; False also for a name that no file can have, and where one may not look."""
    return os.path.isfile(path)  # noqa: PTH113 (Path.is_file raises there)


def is_folder(path: Path) -> bool:
    """Whether there is such a folder; False also where one may not look."""
    return os.path.isdir(path)  # noqa: PTH112 (Path.is_dir raises there)


def read_lines(path: Path) -> list[str]:
    """The non-empty lines of a text file, stripped; raises DataError when there is none."""
    lines = [line.strip() for line in read_text(path).split("\n") if line.strip()]
    if not lines:
        raise DataError(f"{path}: is empty; expected one entry per line.")
    return lines


def class_list(option: Sequence[str] | str | None, base: Path) -> tuple[str, ...] | None:
    """The `classes` option: the names themselves, or the path of a text file with one per line or of a .json list.

    Raises:
        DataError: the list is empty, a line between two names is, or `class_names` refuses it.
    """
    if option is None:
        return None
    where, names = "`classes`", list(option)
    if isinstance(option, str):
        path = resolve(base, option)
        where, names = str(path), _class_file(path)
    if not names:
        raise DataError(f"{where}: the class list is empty.")
    return class_names(names, where)


def _class_file(path: Path) -> list[str]:
    text = read_text(path)
    if path.suffix.lower() == ".json":
        try:
            return msgspec.json.decode(text, type=list[str])
        except (msgspec.DecodeError, RecursionError) as error:
            raise DataError(f'{path}: is no JSON list of class names such as ["cat", "dog"] ({error}).') from None
    lines = text.rstrip().split("\n") if text.strip() else []
    if empty := [number for number, line in enumerate(lines, 1) if not line.strip()]:
        # Dropped, it would move every later name to another score.
        raise DataError(f"{path}: line {empty[0]} is empty, and each line is a class: name it or remove the line.")
    return lines


def class_names(names: Iterable[str], where: str) -> tuple[str, ...]:
    """Names that every table, file and terminal can hold, without the spaces around them.

    Raises:
        DataError: a name is empty, given twice, longer than 256 characters, or holds a line end or another control
            character.
    """
    stripped = tuple(name.strip() for name in names)
    for name in stripped:
        if not name:
            raise DataError(f"{where}: a class has an empty name.")
        if len(name) > _LONGEST_NAME:
            raise DataError(f"{where}: {name[:40]!r}... is no class name: it has {len(name):,} characters.")
        if not name.isprintable() and any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in name):
            raise DataError(f"{where}: the class name {name!r} holds a control character.")
    twice = first_duplicate(stripped)
    if twice is not None:
        raise DataError(f"{where}: the class {twice!r} is listed twice.")
    return stripped


def truth(word: str) -> bool | None:
    """Whether `word` says yes, as annotation tools write it: 1, 1.0, true, yes; None where it says neither."""
    word = word.strip().lower()
    if word in _TRUTHS:
        return _TRUTHS[word]
    try:
        return {1.0: True, 0.0: False}.get(float(word))
    except ValueError:
        return None


def first_duplicate(names: Iterable[str]) -> str | None:
    """The first name that was seen before, or None."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The entry of `known` that `name` was probably meant to be, whatever the case of its letters."""
    if len(name) > _LONGEST_NAME:  # comparing takes time that grows with the square of the length
        return None
    folded = {entry.casefold(): entry for entry in known if len(entry) <= _LONGEST_NAME}
    found = difflib.get_close_matches(name.casefold(), folded, n=1)
    return folded[found[0]] if found else None


def unknown_label(where: str, label: str, classes: Sequence[str], way_out: str) -> DataError:
    """The error for a label that is not in the class list."""
    near = nearest(label, classes)
    hint = f" Did you mean {near!r}?" if near else ""
    shown = repr(label) if len(label) <= _LONGEST_NAME else f"{label[:40]!r}..."
    return DataError(f"{where}: {shown} is not one of the {len(classes)} classes.{hint} {way_out}")


def label_matrix(
    size: int,
    classes: int,
    positives: Sequence[tuple[int, int]],
    unknowns: Sequence[tuple[int, int]] = (),
) -> np.ndarray:
    """int8 (size, classes) from (image, class) index pairs; a pair in both lists is positive, the rest negative."""
    labels = np.zeros((size, classes), np.int8)
    for pairs, value in ((unknowns, UNKNOWN), (positives, POSITIVE)):
        if pairs:
            rows, columns = np.asarray(pairs, np.int64).T
            labels[rows, columns] = value
    return labels
