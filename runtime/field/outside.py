"""Scores that something else computed for the same photographs: another device, the teacher, a service."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from ..datasets.score_file import read_scores
from ..errors import DataError
from ..metrics import sigmoid
from .scored import Scored

Scale = Literal["logits", "probabilities"]


def read_outside(
    path: Path, ids: Sequence[str], classes: Sequence[str], thresholds: np.ndarray, scale: Scale | None
) -> Scored:
    """The file's scores of N photographs; NaN for those that it lacks.

    Args:
        path: see `datasets.score_file.read_scores`; its ids are the photographs' paths, from their folder or from
            anywhere: where none is the same, the folder that all have in common is left out on either side.
        ids: N.
        classes: C names, in whose order the columns are brought.
        thresholds: float64 (C,), from which a label counts as reported.
        scale: what the scores are; None: probabilities where all lie within 0 and 1.

    Raises:
        DataError: the file is faulty, lacks a class, or has scores of none of the photographs.
    """
    found = read_scores(path)
    columns = _columns(path, found.classes, found.values.shape[1], classes)
    rows = _rows(found.ids, ids)
    if not (rows >= 0).any():
        rows = _rows(_from_common_folder(found.ids), _from_common_folder(ids))
    if not (rows >= 0).any():
        raise DataError(
            f"{path}: has scores of {found.ids[0]!r} and others, and of none of the photographs, as {ids[0]!r}: its "
            "ids must be their paths from the folder."
        )
    values = np.where((rows >= 0)[:, None], found.values[rows][:, columns], np.nan).astype(np.float32)
    known = values[rows >= 0]
    within = bool((known >= 0).all() and (known <= 1).all())
    if scale == "probabilities" and not within:
        raise DataError(f"{path}: has scores outside 0 and 1, which are no probabilities: are they logits?")
    if scale == "logits" or not within:
        return Scored(values, sigmoid(values), thresholds)
    return Scored(values, values, thresholds)


def _rows(given: Sequence[str], ids: Sequence[str]) -> np.ndarray:
    """Where each of `ids` is among those that are given; -1 where it is not."""
    places = {id: row for row, id in enumerate(given)}
    return np.array([places.get(id, -1) for id in ids])


def _from_common_folder(ids: Sequence[str]) -> list[str]:
    """The paths without the folders that all of them begin with."""
    parts = [PurePosixPath(id.replace("\\", "/")).parts for id in ids]
    common = 0
    while all(len(one) > common + 1 and one[common] == parts[0][common] for one in parts):
        common += 1
    return ["/".join(one[common:]) for one in parts]


def _columns(path: Path, given: Sequence[str] | None, count: int, classes: Sequence[str]) -> list[int]:
    if given is None:
        if count != len(classes):
            raise DataError(f"{path}: has {count} scores an image, and the bundle {len(classes)} classes.")
        return list(range(count))
    missing = [name for name in classes if name not in set(given)]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise DataError(f"{path}: lacks the classes {', '.join(missing[:3])}{more}.")
    return [given.index(name) for name in classes]
