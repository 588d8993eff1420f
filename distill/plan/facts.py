"""What `--dry-run` tells, as typed data."""

from typing import Any, Literal

from ...runtime.record import Record
from ..engine.parts import PartName
from .disk import Kept
from .time import Bound

Command = Literal["train", "distill", "run"]
Part = Literal["train", "validation", "test", "unlabelled"]
PlannedRole = Literal["teacher", "sub-tasks", "baseline", "student", "int8"]


class PlannedSplit(Record):
    """A part of the data."""

    part: Part
    name: str
    images: int


class PlannedModel(Record):
    """A network.

    Attributes:
        role: "teacher", "baseline" (the student without a teacher) or "student".
        name: of the network.
        parameters: of what ships of it.
        macs: multiply-accumulates of that for one image.
        training_parameters: with the branches that only its training has; None where it is not trained.
    """

    role: Literal["teacher", "baseline", "student"]
    name: str
    parameters: int
    macs: int
    training_parameters: int | None


class PlannedPart(Record):
    """A part of a network that learns alike.

    Attributes:
        part: "backbone", "head" or "method".
        below_head: layers between it and the head, where the rate falls with them (`layer_decay`); else None.
        parameters: that learn.
        lr: at the peak of the schedule.
        weight_decay: of its weights; biases and normalisations have none.
        freeze_epochs: for which it is held still, or "all".
    """

    part: PartName
    below_head: int | None
    parameters: int
    lr: float
    weight_decay: float
    freeze_epochs: int | Literal["all"]


class PlannedTraining(Record):
    """A training, or the sub-tasks of a method that trains its own teachers.

    Attributes:
        role: which.
        method: what teaches it.
        folder: its own, below the run's folder.
        count: trainings of this kind, of `epochs` each.
        finished: how many of them are finished.
        epochs: planned, of each.
        epochs_done: of all of them together.
        steps: optimiser steps planned, of each; None where all are finished, as below.
        step_seconds: of one, without waiting for data.
        bound: what most of the time goes to.
        teacher: whether it runs in every step (`live`) or its outputs are read (`stored`); None without one.
        estimated_seconds: of all that is left, without evaluation.
        parts: of the network, of the first training that is left.
        note: what could not be found out.
    """

    role: PlannedRole
    method: str
    folder: str
    count: int
    finished: int
    epochs: int
    epochs_done: float
    steps: int | None = None
    step_seconds: float | None = None
    bound: Bound | None = None
    teacher: Literal["live", "stored"] | None = None
    estimated_seconds: float = 0.0
    parts: tuple[PlannedPart, ...] = ()
    note: str = ""


class Plan(Record):
    """What a command would do.

    Attributes:
        command: which.
        name: of the run.
        folder: of the run.
        base: folder that the recipe's relative paths start from.
        recipe: with every default.
        device: what it would run on.
        cores: that the process may use.
        load_average: processes that wanted a core in the minute before anything was measured; None where the system
            does not tell.
        size: (height, width) of the networks' images.
        classes: how many.
        splits: the data.
        models: the networks, as they ship.
        trainings: in their order, the finished ones too.
        kept: what is kept, on the disk and in memory.
        estimated_seconds: of all trainings, without evaluation.
        missing_bytes: that are still to be written to the disk.
        free_bytes: on the disk of the run's folder.
    """

    command: Command
    name: str
    folder: str
    base: str
    recipe: dict[str, Any]
    device: str
    cores: int
    load_average: float | None
    size: tuple[int, int]
    classes: int
    splits: tuple[PlannedSplit, ...]
    models: tuple[PlannedModel, ...]
    trainings: tuple[PlannedTraining, ...]
    kept: tuple[Kept, ...]
    estimated_seconds: float
    missing_bytes: int
    free_bytes: int
