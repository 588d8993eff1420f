"""Sub-tasks: the class subsets that a method's own teachers learn, fixed in a file before the first is trained."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from filelock import FileLock

from ...runtime.datasets import NEGATIVE, POSITIVE, Dataset
from ...runtime.errors import CheckpointError, DataError
from ...runtime.files import write_atomic
from ...runtime.record import Record
from ..methods import Method
from ..recipe.schema import Images
from .splits import Splits

_FILE = "partitions.json"
_NAMED = 8  # classes in a message


@dataclass(frozen=True)
class SubTask:
    """Some of the classes, to be learned by a teacher of their own.

    Attributes:
        number: over all partitions, from 0.
        kind: the partition that it is part of.
        index: in that partition, from 0.
        classes: int64 (c,), positions among all classes.
    """

    number: int
    kind: str
    index: int
    classes: np.ndarray

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.kind}-{self.index}"

    def describe(self, names: Sequence[str]) -> str:
        """Number, partition and class names, for messages."""
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return f"task {self.number} ({self.name}: {', '.join(names[:_NAMED])}{more})"

    def splits(self, whole: Splits, images: Images) -> Splits:
        """What its teacher sees: its classes' labels, in training on the images that `images` says.

        Raises:
            DataError: no epoch could be selected, or a class could not be learned; says what to change.
        """
        found = Splits(*(part.only_classes(self.classes) for part in (whole.train, whole.validation, whole.test)))
        described = self.describe(found.train.classes)
        if not (found.validation.labels == POSITIVE).any():
            raise DataError(
                f"{described}: no image of {found.validation.name} has one of its classes, so that no epoch of its "
                "training could be selected. Lower `method.k`, or make `data.validation` larger."
            )
        return found if images == "all" else Splits(self._positive(found), found.validation, found.test)

    def _positive(self, found: Splits) -> Dataset:
        kept = found.train.subset(np.flatnonzero((found.train.labels == POSITIVE).any(axis=1)))
        lacking = [kept.classes[column] for column in np.flatnonzero(~(kept.labels == NEGATIVE).any(axis=0))]
        if lacking:
            raise DataError(
                f"{self.describe(kept.classes)}: with `tasks.images: positive` no image without {lacking[0]!r} is left "
                "to learn it from. Set `tasks.images: all`, or lower `method.k`."
            )
        return kept


class _Partitions(Record):
    """partitions.json: which classes each sub-task has, and what decided it.

    Attributes:
        method: the hyper-parameters that decide.
        seed: of the draw.
        classes: all of them.
        train_sha256: of the training part's classes, ids and labels.
        partitions: class names of every subset, by the partition's name.
    """

    method: dict[str, Any]
    seed: int
    classes: tuple[str, ...]
    train_sha256: str
    partitions: dict[str, tuple[tuple[str, ...], ...]]


def draw_tasks(method: Method, train: Dataset, seed: int) -> list[SubTask]:
    """The sub-tasks that a method makes of a training part, in the order of their numbers."""
    return _numbered(method.subsets(train.labels, seed))


def read_tasks(folder: Path, method: Method, train: Dataset, seed: int) -> list[SubTask] | None:
    """The sub-tasks that were fixed in `folder`; None where none were.

    Raises:
        CheckpointError: they are those of another recipe, or the file is damaged.
    """
    path = folder / _FILE
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Partitions)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise CheckpointError(f"{path}: damaged ({error}). Delete {folder} to start over.") from None
    changed = _changes(found, _described(method, train, seed, {}))
    if changed:
        raise CheckpointError(
            f"{path}: holds the sub-tasks of another recipe ({'; '.join(changed)}). Use another name (`name=...` on "
            f"the command line), or delete {folder} to start over."
        )
    if any(sorted(sum(subsets, ())) != sorted(train.classes) for subsets in found.partitions.values()):
        raise CheckpointError(f"{path}: a class is missing or named twice. Delete {folder} to start over.")
    places = {name: place for place, name in enumerate(train.classes)}
    return _numbered(
        {
            kind: [np.array([places[name] for name in subset], np.int64) for subset in subsets]
            for kind, subsets in found.partitions.items()
        }
    )


def fix_tasks(
    folder: Path, method: Method, train: Dataset, seed: int, check: Callable[[SubTask], object]
) -> list[SubTask]:
    """The sub-tasks, from now on those of every process that trains one of them.

    Another machine's libraries may cluster otherwise: only the first to ask draws them, the others read its file.

    Args:
        folder: gets partitions.json.
        method: one that trains its own teachers.
        train: the whole training part.
        seed: of the draw.
        check: raises for one that cannot be learned; then nothing is written.

    Raises:
        CheckpointError: see `read_tasks`.
    """
    tasks = read_tasks(folder, method, train, seed)
    if tasks is not None:
        return _checked(tasks, check)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        tasks = read_tasks(folder, method, train, seed)
        if tasks is None:
            tasks = _checked(draw_tasks(method, train, seed), check)
            content = msgspec.json.encode(_described(method, train, seed, _named(tasks, train)))
            write_atomic(folder / _FILE, msgspec.json.format(content, indent=2) + b"\n")
    return tasks


def _checked(tasks: list[SubTask], check: Callable[[SubTask], object]) -> list[SubTask]:
    for task in tasks:
        check(task)
    return tasks


def _numbered(partitions: dict[str, list[np.ndarray]]) -> list[SubTask]:
    flat = [(kind, index, subset) for kind, subsets in partitions.items() for index, subset in enumerate(subsets)]
    return [SubTask(number, *entry) for number, entry in enumerate(flat)]


def _named(tasks: list[SubTask], train: Dataset) -> dict[str, tuple[tuple[str, ...], ...]]:
    kinds = dict.fromkeys(task.kind for task in tasks)
    return {
        kind: tuple(tuple(train.classes[place] for place in task.classes) for task in tasks if task.kind == kind)
        for kind in kinds
    }


def _described(
    method: Method, train: Dataset, seed: int, partitions: dict[str, tuple[tuple[str, ...], ...]]
) -> _Partitions:
    return _Partitions(
        method=method.partitioning(),
        seed=seed,
        classes=train.classes,
        train_sha256=train.fingerprint(),
        partitions=partitions,
    )


def _changes(there: _Partitions, now: _Partitions) -> list[str]:
    keys = {
        **{f"method.{key}": (there.method.get(key), value) for key, value in now.method.items()},
        "seed": (there.seed, now.seed),
    }
    changes = [f"`{key}` was {old} and is {new}" for key, (old, new) in keys.items() if old != new]
    if not changes and there.train_sha256 != now.train_sha256:
        changes.append("the training part has other images, labels or classes")
    return changes
