"""What finished cells reach on the test split and on further test sets: at their ends, or when somebody asks."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.markup import escape

from ...runtime import metrics
from ...runtime.datasets import Dataset
from ...runtime.errors import CheckpointError, ConfigError
from ..checkpoint import load_student
from ..experiment import Experiment, Teacher
from .cell import Cell
from .queue import Queue
from .record import Finished, Result

_NAMED = 3


class Reached(NamedTuple):
    """MAP in points on the test split, how many of its images were scored, and mAP on further sets by name."""

    test_mAP: float | None  # noqa: N815 (the field's spelling)
    images: int
    others: dict[str, float | None]

    def into(self, result: Result) -> Result:
        """The result with these in it."""
        return msgspec.structs.replace(
            result, test_mAP=self.test_mAP, test_images=self.images, test_scored=True, other_tests=self.others
        )


def score(experiment: Experiment, trained: Teacher, others: Mapping[str, Dataset]) -> Reached:
    """Read the test split and further test sets, by name, once.

    Raises:
        DataError: too many of their images cannot be decoded.
    """
    mean_ap, images = _evaluate(experiment, trained, experiment.splits.test)
    return Reached(mean_ap, images, {name: _evaluate(experiment, trained, one)[0] for name, one in others.items()})


def score_finished(queue: Queue, console: Console) -> None:
    """Score the selected cells on the test sets that their results lack.

    Raises:
        ConfigError: a selected cell is not done: what is read once is read at the end.
        CheckpointError: the weights of one are not in its folder.
    """
    results = {entry.name: entry.result for entry in queue.store.read().cells}
    waiting = [cell.name for cell in queue.selected if results[cell.name] is None]
    if waiting:
        raise ConfigError(
            f"--test: {len(waiting)} of {len(queue.selected)} cells are not done ({', '.join(waiting[:_NAMED])}, ...), "
            "and the test split is read at the end: finish the study, or choose what is done by `--only`."
        )
    done = [(cell, result) for cell in queue.selected if (result := results[cell.name]) is not None]
    lacking = [(cell, result) for cell, result in done if cell.tests.lacking(result)]
    for number, (cell, result) in enumerate(lacking, start=1):
        console.print(
            f"[bold cyan]>>[/] [bold]{escape(cell.name)}[/] [dim]({number} of {len(lacking)})[/]", highlight=False
        )
        queue.store.finish(cell, _scored(cell, result, queue, console))


def _scored(cell: Cell, result: Result, queue: Queue, console: Console) -> Finished:
    alike = (one for one in queue.store.study.cells if one.identity == cell.identity)  # one training of several names
    trained_as = next((one for one in (cell, *alike) if one.checkpoint.is_file()), cell)
    experiment = Experiment(trained_as.runnable(), console)
    path = experiment.checkpoint("teacher" if cell.is_teacher else "student")
    if not path.is_file():
        raise CheckpointError(
            f"{cell.name}: its weights are not here ({path}), only its result is: score it where it was trained."
        )
    trained = load_student(path)
    if trained.weights_sha256 != result.weights_sha256:
        raise CheckpointError(f"{cell.name}: {path} holds other weights than the record's result was found with.")
    return Finished(
        identity=cell.identity,
        result=score(experiment, trained, cell.tests.open_others(experiment.splits)).into(result),
        machine=queue.store.read().machines[result.machine],
        test=experiment.splits.test.name,
    )


def _evaluate(experiment: Experiment, trained: Teacher, dataset: Dataset) -> tuple[float | None, int]:
    """MAP in points, None without a positive, and the number of images that could be decoded."""
    outputs = experiment.predict(trained, dataset)
    found = metrics.evaluate(outputs.scores, outputs.dataset.labels)
    return None if math.isnan(found["mAP"]) else float(found["mAP"]), int(found["images"])
