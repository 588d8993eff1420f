"""What the readers share: text files, class lists, image paths, and the errors that name a way out."""

import difflib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ..errors import DataError
from .base import POSITIVE, UNKNOWN

_PROBED = 10  # images looked for before a folder is called wrong


def resolve(base: Path, path: str) -> Path:
    """An option's path: `~` is expanded, a relative path is taken from `base`."""
    return base / Path(path).expanduser()


def read_text(path: Path) -> str:
    """A UTF-8 text file with or without a byte order mark; raises DataError naming it otherwise."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from None


def read_lines(path: Path) -> list[str]:
    """The non-empty lines of a text file, stripped; raises DataError when there is none."""
    lines = [line.strip() for line in read_text(path).split("\n") if line.strip()]
    if not lines:
        raise DataError(f"{path}: is empty; expected one entry per line.")
    return lines


def class_list(option: Sequence[str] | str | None, base: Path) -> tuple[str, ...] | None:
    """The `classes` option: the names themselves, or the path of a text file with one name per line.

    Raises:
        DataError: a name is empty or given twice, or the list is empty.
    """
    if option is None:
        return None
    where, names = "`classes`", list(option)
    if isinstance(option, str):
        path = resolve(base, option)
        where, names = str(path), read_lines(path)
    if not names or not all(name.strip() for name in names):
        raise DataError(f"{where}: the class list is empty or holds an empty name.")
    twice = first_duplicate(names)
    if twice is not None:
        raise DataError(f"{where}: the class {twice!r} is listed twice.")
    return tuple(names)


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
    folded = {entry.casefold(): entry for entry in known}
    found = difflib.get_close_matches(name.casefold(), folded, n=1)
    return folded[found[0]] if found else None


def unknown_label(where: str, label: str, classes: Sequence[str], way_out: str) -> DataError:
    """The error for a label that is not in the class list."""
    near = nearest(label, classes)
    hint = f" Did you mean {near!r}?" if near else ""
    return DataError(f"{where}: {label!r} is not one of the {len(classes)} classes.{hint} {way_out}")


def image_path(folder: Path, listed: str, where: str) -> tuple[str, Path]:
    r"""The id and the file of an image that an index lists.

    Args:
        folder: the image folder.
        listed: a path relative to `folder`, or an absolute one inside it; `\` separates folders like `/`, so that a
            list that was written on Windows gives the same ids everywhere.
        where: the place that a message names.

    Returns:
        the path relative to `folder` with forward slashes, and the path to open.

    Raises:
        DataError: the path is empty or leads outside `folder`.
    """
    relative = listed.strip().replace("\\", "/")
    if not relative:
        raise DataError(f"{where}: the image path is empty.")
    relative = os.path.normpath(relative)
    if os.path.isabs(relative):  # noqa: PTH117 (a Path per image is slow for long lists)
        root = os.path.abspath(folder)  # noqa: PTH100 (Path.absolute keeps "..", Path.resolve follows links)
        relative = os.path.relpath(relative, root)
    if relative == ".." or relative.startswith(".." + os.sep):
        raise DataError(
            f"{where}: the image {listed!r} lies outside the image folder {folder}; set `images` to a folder that "
            "holds all images."
        )
    return relative.replace(os.sep, "/"), folder / relative


def require_images(images: Sequence[Path], where: str, way_out: str) -> None:
    """Refuse a wholly wrong image folder at once; single missing files come to light when they are decoded.

    Raises:
        DataError: `images` is empty, or none of the first ten exists.
    """
    if not images:
        raise DataError(f"{where}: lists no image.")
    probed = images[:_PROBED]
    if not any(os.path.isfile(path) for path in probed):  # noqa: PTH113 (Path.is_file raises on a name too long)
        which = f"none of its first {len(probed)} images exists" if len(probed) > 1 else "its only image does not exist"
        raise DataError(f"{where}: {which} ({probed[0]}). {way_out}")


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
