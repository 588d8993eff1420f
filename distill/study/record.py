"""<name>.study.json: everything that a study has found so far, and what it has not run."""

from typing import Any, Literal

from ...runtime.record import Record
from .spread import Gain, Spread

Status = Literal["done", "failed", "not run"]


def cell_name(student: str, method: str, seed: int) -> str:
    """`<student>/<method>/<seed>`, or `teacher/<seed>`."""
    return "/".join(part for part in (student, method, str(seed)) if part)


class Machine(Record):
    """What trainings ran on; nothing here names a person or a host.

    Attributes:
        cpu: the model's name.
        arch: e.g. "x86_64".
        cores: logical cores that a process could use.
        memory_bytes: physical memory; None where the system does not tell.
        os: system and release.
        python: version.
        gpus: name, memory and driver of each NVIDIA GPU.
        libraries: versions.
    """

    cpu: str
    arch: str
    cores: int
    memory_bytes: int | None
    os: str
    python: str
    gpus: tuple[str, ...]
    libraries: dict[str, str]


class Data(Record):
    """What a training and its test saw, by digests of ids, labels and classes.

    Attributes:
        data_sha256: of the three splits, which depend on the seed where it draws the validation part.
        training_sha256: of the images that are not for the test, in no order, before any validation part is drawn.
        test_sha256: of the test split.
        test_images: how many are in it.
    """

    data_sha256: str
    training_sha256: str
    test_sha256: str
    test_images: int


class Result(Record):
    """What a training reached. The epoch was selected on the validation part; the test split is scored once, after.

    Attributes:
        test_mAP: in points on the test split; None where it has no positive, or is not read yet.
        validation_mAP: in points, of the selected epoch.
        epoch: the selected one, from 1; None where nothing was trained.
        test_images: how many were scored, or are to be.
        method: the method's name and every hyper-parameter, defaults too.
        weights_sha256: of the network.
        teacher_sha256: of what taught it: the shared teacher, or the method's own merged into one; None without.
        data_sha256: as in `Data`.
        seconds: wall time of the cell, from reading data to the test, in the process that finished it.
        threads: of PyTorch.
        device: "cpu" or "cuda".
        machine: a key of the record's `machines`.
        edgedistill: version.
        commit: of the checkout, "+" where it had uncommitted changes; None for an installed package.
        finished: when, ISO 8601 in UTC.
        training_sha256: as in `Data`; None in a record from before it was kept.
        test_sha256: likewise.
        test_scored: whether the test split is read.
        other_tests: mAP in points on further test sets, by name; None where there is no positive.
    """

    test_mAP: float | None  # noqa: N815 (the field's spelling)
    validation_mAP: float | None  # noqa: N815
    epoch: int | None
    test_images: int
    method: dict[str, Any]
    weights_sha256: str
    teacher_sha256: str | None
    data_sha256: str
    seconds: float
    threads: int
    device: str
    machine: str
    edgedistill: str
    commit: str | None
    finished: str
    training_sha256: str | None = None
    test_sha256: str | None = None
    test_scored: bool = True
    other_tests: dict[str, float | None] = {}


class Finished(Record):
    """A finished cell, as it lies in its own folder.

    Attributes:
        identity: of the cell.
        result: what it reached.
        machine: what it ran on.
        test: name of the test split.
    """

    identity: str
    result: Result
    machine: Machine
    test: str


class CellRecord(Record):
    """How a cell stands.

    Attributes:
        student: its name in the study; "teacher" for the teacher.
        method: its name in the study; "" for the teacher.
        seed: its seed.
        identity: of the recipe that it was planned with.
        status: "done", "failed", or "not run".
        reason: why it failed.
        result: of one that is done.
    """

    student: str
    method: str
    seed: int
    identity: str
    status: Status = "not run"
    reason: str = ""
    result: Result | None = None

    @property
    def name(self) -> str:
        """As `Cell.name`."""
        return cell_name(self.student, self.method, self.seed)


class Measured(Record):
    """One accuracy over the seeds that have it.

    Attributes:
        mAP: in points.
        gain: over the baseline with the same student, paired by seed; None for the baseline and without a pair.
        gain_seeds: those that both have.
    """

    mAP: Spread  # noqa: N815
    gain: Gain | None = None
    gain_seeds: tuple[int, ...] = ()


class Row(Record):
    """A student with a method over the seeds that are done.

    Attributes:
        student: its name; "teacher" for the teacher.
        method: its name; "" for the teacher.
        planned: how many seeds there are.
        seeds: those that are done, in the study's order.
        failed: how many failed.
        test_mAP: over those seeds whose test split is read, in points; None where there is none.
        gain: in test mAP, as `Measured`.
        gain_seeds: likewise.
        validation: mAP on the validation part.
        other_tests: on further test sets, by name.
    """

    student: str
    method: str
    planned: int
    seeds: tuple[int, ...]
    failed: int
    test_mAP: Spread | None = None  # noqa: N815
    gain: Gain | None = None
    gain_seeds: tuple[int, ...] = ()
    validation: Measured | None = None
    other_tests: dict[str, Measured] = {}


class StudyRecord(Record):
    """A study so far.

    Attributes:
        name: of the study.
        command: what runs it, and continues it from this record.
        test: name of the test split; "" before anything was run.
        baseline: the method that gains are over.
        rows: the teacher's and one per student and method, in the study's order.
        cells: all that are planned, in the order in which they run.
        machines: that they ran on.
        superseded: results of settings or cells that the study no longer has.
        format: version of this record.
    """

    name: str
    command: str
    baseline: str | None
    rows: tuple[Row, ...]
    cells: tuple[CellRecord, ...]
    machines: dict[str, Machine]
    superseded: tuple[CellRecord, ...] = ()
    test: str = ""
    format: Literal[1] = 1

    def count(self, status: Status) -> int:
        """How many cells stand like that."""
        return sum(cell.status == status for cell in self.cells)
