"""The tables of `evaluate`: metrics under their protocol, retrieval, the teacher, label pairs, AP per class."""

import math
from collections.abc import Sequence

import numpy as np
from rich.console import Console

from edgedistill.distill.experiment.evaluation import Evaluation, LabelPair
from edgedistill.distill.metrics import RetrievalPrecision

from .console import escape
from .render import table

_METRICS = ("mAP", "CP", "CR", "CF1", "CF1_mean", "OP", "OR", "OF1")
_RANKS = (1, 2, 3, 5, 10, 20, 50, 100)
_MOST_SKIPPED = 5
_WIDTH = 100
_ROWS = 20  # of the AP table, before a further column of classes is begun


def evaluation_tables(evaluation: Evaluation, console: Console) -> None:
    """Everything that was found, in at most 100 columns."""
    found = evaluation.found
    console.print(f"[bold]{escape(str(evaluation.checkpoint))}[/] on {escape(evaluation.data.name)}", soft_wrap=True)
    rows = table(found["protocol"], "images", *_METRICS, right=("images", *_METRICS))
    subsets = [("all", found)]
    if evaluation.difficult is not None:
        subsets.append(("with a difficult label", evaluation.difficult))
    for name, numbers in subsets:
        mean_ap, *others = [f"{numbers[metric]:.2f}" for metric in _METRICS]
        rows.add_row(name, str(numbers["images"]), f"[bold]{mean_ap}[/]", *others)
    console.print(rows)
    if evaluation.tta:
        console.print(f"[yellow]test-time augmentation[/]  {', '.join(evaluation.tta)}: the mean of the logits")
    for name, numbers in subsets:
        if numbers["classes_without_positives"]:
            left_out = f"{numbers['classes_without_positives']} of {numbers['classes']} classes have no positive"
            console.print(f"[yellow]left out[/]  {name}: {left_out} and no part in mAP, CP, CR and CF1")
    console.print(
        f"calibration error (ECE) [bold]{evaluation.calibration_error:.2f}[/] points; mean of the classes' own "
        f"{evaluation.classwise_error:.2f}"
    )
    if evaluation.retrieval is not None:
        _retrieval(evaluation.retrieval, console)
    if evaluation.teacher is not None:
        teacher = evaluation.teacher
        console.print(f"\nteacher [bold]{escape(teacher.checkpoint)}[/]: mAP {teacher.mAP:.2f}", soft_wrap=True)
        console.print(
            f"label correlations differ from the teacher's by [bold]{teacher.mean_abs_difference:.3f}[/] on average"
        )
    if evaluation.pairs:
        _pairs(evaluation.pairs, console)
    _per_class(evaluation.data.classes, found["AP"], console)
    for line in evaluation.skipped[:_MOST_SKIPPED]:
        console.print(f"[yellow]skipped[/]  {escape(line)}", soft_wrap=True)
    if len(evaluation.skipped) > _MOST_SKIPPED:
        console.print(f"[yellow]skipped[/]  and {len(evaluation.skipped) - _MOST_SKIPPED} more images")


def _retrieval(found: RetrievalPrecision, console: Console) -> None:
    """Precision at some ranks, the last one always."""
    most = len(found.precision)
    ranks = [rank for rank in _RANKS if rank < most] + [most]
    headings = [f"at {rank}" for rank in ranks]
    rows = table("retrieval", *headings, right=headings)
    rows.add_row("precision", *[f"{100 * found.precision[rank - 1]:.2f}" for rank in ranks])
    console.print()
    console.print(rows)
    unlabelled = f"; {found.without_labels} images have none" if found.without_labels else ""
    console.print(f"[dim]{found.queries} queries; a hit shares a label with its query{unlabelled}[/]")


def _pairs(pairs: Sequence[LabelPair], console: Console) -> None:
    """Correlation and dependency of each pair, as the ground truth, the teacher and the model have them."""
    rows = table()
    rows.add_column("\nlabel pair", overflow="fold")  # `table` would show the line break as text
    for kind in ("correlation", "dependency"):
        for number, who in enumerate(pairs[0].correlation):
            rows.add_column(f"{'' if number else kind}\n{escape(who)}", justify="right")
    for pair in pairs:
        numbers = [*pair.correlation.values(), *pair.dependency.values()]
        rows.add_row(escape(" / ".join(pair.labels)), *["-" if math.isnan(n) else f"{n:.3f}" for n in numbers])
    console.print()
    console.print(rows)
    console.print("[dim]correlation: Pearson's over the test images; dependency: mean square difference[/]")


def _per_class(classes: Sequence[str], ap: np.ndarray, console: Console) -> None:
    """AP in descending order, down the first column of classes and then the next."""
    by_ap = sorted(zip(classes, ap, strict=True), key=lambda pair: (math.isnan(pair[1]), -pair[1]))
    cells = [(escape(name), "no positive" if math.isnan(value) else f"{value:.2f}") for name, value in by_ap]
    width = max(len(name) for name in classes) + max(len(value) for _, value in cells) + 4
    columns = max(1, min(min(console.width, _WIDTH) // width, math.ceil(len(cells) / _ROWS)))
    height = math.ceil(len(cells) / columns)
    rows = table(*["class", "AP"] * columns, right=("AP",))
    for row in range(height):
        side_by_side = cells[row::height]
        rows.add_row(*[text for cell in side_by_side for text in cell])
    console.print()
    console.print(rows)
