"""Running cells, one after the other in this process."""

import hashlib
import time
import traceback
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec
import torch
from filelock import Timeout
from rich.console import Console

from ...runtime.device import describe_device
from ...runtime.errors import EdgedistillError, InterruptedRunError, first_line
from ...runtime.progress import duration, print_line
from ..data.decoded import release_memory
from ..engine import choose_device, current_world
from ..engine.environment import describe_environment
from ..experiment import Experiment
from .cell import Cell
from .progress import announce
from .queue import Queue
from .record import CellRecord, Finished, Machine, Result
from .same_data import digest_data, require_same_data
from .scoring import score

_POLL_SECONDS = 1.0


def run_cells(queue: Queue, console: Console) -> None:
    """Run all that is left; one that fails is recorded, and the others go on.

    Raises:
        InterruptedRunError: Ctrl-C or SIGTERM in a training, which is saved.
    """
    while left := queue.left():
        cell = queue.ready(left)
        if cell is None:
            time.sleep(_POLL_SECONDS)  # what is left, other processes run
            continue
        try:
            with queue.store.lock(cell).acquire(timeout=0):
                if not queue.store.adopt(cell):
                    if len(left) > 1:
                        announce(cell, left, queue, console)
                    _run_or_fail(cell, queue, console)
        except Timeout:
            continue


def _run_or_fail(cell: Cell, queue: Queue, console: Console) -> None:
    try:
        finished = run_cell(cell, console, known=queue.store.read().cells)
        queue.store.finish(cell, finished)
    except InterruptedRunError:
        raise
    except EdgedistillError as error:
        reason = str(error)
    except Exception as error:  # one cell's fault, or a bug of ours, costs no other cell
        print_line(console, traceback.format_exc())
        reason = f"{type(error).__name__}: {first_line(error)}"
    else:
        console.print(_sentence(finished.result), highlight=False, soft_wrap=True)
        return
    print_line(console, f"{cell.name} failed: {reason}")
    queue.fail(cell, reason)


def _sentence(result: Result) -> str:
    test = "-" if result.test_mAP is None else f"{result.test_mAP:.2f}"
    epoch = "" if result.epoch is None else f" in epoch {result.epoch}"
    said = f"validation mAP {result.validation_mAP:.2f}{epoch}, {duration(result.seconds)}"
    return f"test mAP {test} ({said})" if result.test_scored else f"{said}; the test split is not read"


def run_cell(cell: Cell, console: Console, known: Iterable[CellRecord] = ()) -> Finished:
    """Train the cell, or load what is trained of it, and score it on the test split, once, where that is not left.

    Args:
        cell: with its teacher finished.
        console: where progress is drawn.
        known: cells whose results, where they have one, must have been found on the same data.

    Raises:
        EdgedistillError: as a training; DataError where the data is not the same.
    """
    started = time.monotonic()
    experiment = Experiment(cell.runnable(), console)
    data = digest_data(experiment.splits, drawn=not isinstance(experiment.recipe.data.validation, dict))
    require_same_data(cell.seed, data, known)
    others = cell.tests.open_others(experiment.splits)  # what is wrong with them is told before the training
    teacher = experiment.teacher()
    # Before the method takes the branches off that it does not read.
    taught_by = None if cell.is_teacher or teacher is None else teacher.weights_sha256
    trained = teacher if cell.is_teacher else experiment.student(teacher)
    assert trained is not None
    environment = describe_environment(choose_device(), current_world(), ())
    machine = _machine(environment["libraries"])
    epoch = trained.card.metrics.get("epoch")
    result = Result(
        test_mAP=None,
        validation_mAP=float(trained.card.metrics["mAP"]),
        epoch=None if epoch is None else round(epoch),
        test_images=data.test_images,
        method=cell.method_values,
        weights_sha256=trained.weights_sha256,
        teacher_sha256=taught_by,
        data_sha256=data.data_sha256,
        seconds=round(time.monotonic() - started, 1),
        threads=torch.get_num_threads(),
        device=environment["device"],
        machine=_key(machine),
        edgedistill=environment["edgedistill"],
        commit=environment["commit"],
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        training_sha256=data.training_sha256,
        test_sha256=data.test_sha256,
        test_scored=False,
    )
    if cell.tests.at_once:
        result = score(experiment, trained, others).into(result)
    release_memory()
    return Finished(identity=cell.identity, result=result, machine=machine, test=experiment.splits.test.name)


def _machine(libraries: dict[str, str]) -> Machine:
    found = describe_device()
    return Machine(
        cpu=found.cpu,
        arch=found.arch,
        cores=found.cores,
        memory_bytes=found.memory_bytes,
        os=found.os,
        python=found.python,
        gpus=found.gpus,
        libraries=libraries,
    )


def _key(machine: Machine) -> str:
    return hashlib.sha256(msgspec.json.encode(machine, order="sorted")).hexdigest()[:12]
