"""What `--dry-run` tells, as typed data; `--json` prints it."""

from typing import Any, Literal

from ...runtime.record import Record
from ..engine.parts import PartName

Command = Literal["train", "distill", "run"]
Part = Literal["train", "validation", "test", "unlabelled"]
Bound = Literal["data", "teacher", "student"]
Network = Literal["teacher", "baseline", "student"]  # the baseline is the student without a teacher
PlannedRole = Literal["teacher", "sub-tasks", "baseline", "student", "int8"]


class PlannedSplit(Record):
    """A part of the data."""

    part: Part
    name: str
    images: int


class PlannedModel(Record):
    """A network: what ships of it, and the multiply-accumulates of that for one image."""

    role: Network
    name: str
    parameters: int | None  # None of a teacher that shows none
    macs: int | None
    training_parameters: int | None  # with the branches that only training has; None where it is not trained
    mean: tuple[float, float, float]  # of its images, per RGB channel in [0, 1] units
    std: tuple[float, float, float]
    other_inputs: str = ""  # what is different about the images that its library's weights learned on


class PlannedPart(Record):
    """A part of a network that learns alike."""

    part: PartName
    below_head: int | None  # layers between it and the head, where the rate falls with them (`layer_decay`)
    parameters: int  # that learn
    lr: float  # at the peak of the schedule
    weight_decay: float  # of its weights; biases and normalisations have none
    freeze_epochs: int | Literal["all"]


class PlannedTraining(Record):
    """A training, or the sub-tasks of a method that trains its own teachers."""

    role: PlannedRole
    method: str
    folder: str
    count: int  # trainings of this kind, of `epochs` each
    finished: int  # of them
    epochs: int
    epochs_done: float  # of all of them together
    notes: tuple[str, ...] = ()  # what is worth knowing before it starts, a line each
    # What was measured on one of them; not where all are finished.
    steps: int | None = None  # of the optimiser, in `epochs`
    step_seconds: float | None = None  # without waiting for data
    bound: Bound | None = None  # what most of the time goes to
    teacher: Literal["live", "stored", "scores"] | None = None  # in every step, or read; None without one
    estimated_seconds: float = 0.0  # of all that is left, without evaluation
    parts: tuple[PlannedPart, ...] = ()


class Kept(Record):
    """Something that a command keeps."""

    what: str
    where: Literal["disk", "memory"]
    path: str | None  # None in memory, and where it follows from a teacher that is still to be trained
    bytes: int  # when it is complete
    present_bytes: int = 0

    @property
    def missing_bytes(self) -> int:
        """Bytes that are still to be written to the disk."""
        return max(0, self.bytes - self.present_bytes) if self.where == "disk" else 0


class Plan(Record):
    """What a command would do."""

    command: Command
    name: str
    folder: str
    base: str  # that the recipe's relative paths start from
    recipe: dict[str, Any]  # with every default
    device: str
    cores: int
    load_average: float | None  # of the minute before anything was measured, where the system tells
    size: tuple[int, int]  # (height, width) of the images
    classes: int
    splits: tuple[PlannedSplit, ...]
    models: tuple[PlannedModel, ...]
    trainings: tuple[PlannedTraining, ...]  # in their order, the finished ones too
    kept: tuple[Kept, ...]
    estimated_seconds: float  # of all trainings
    missing_bytes: int  # on the disk
    free_bytes: int
