"""`train`, `distill`, `evaluate`: the steps of a recipe that need torch, one at a time."""

import math
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edgedistill.distill.cores import bind_threads

from .. import console
from ..checkpoints import checkpoint_classes
from ..dry_run import print_plan, refuse_parts
from ..extras import require_training
from ..processes import shared
from ..recipe_arguments import Changes, DryRun, Recipe, Seeds, check_recipe, parse_seeds
from ..task_options import Jobs, TaskNumber, refuse_together, train_side_by_side, train_task

if TYPE_CHECKING:  # they need torch
    from edgedistill.distill.engine.views_at_test import ViewAtTest
    from edgedistill.distill.experiment import Experiment, Teacher

Json = Annotated[bool, typer.Option("--json", help="Print what was reached as JSON on stdout.")]


@shared
def train(recipe: Recipe, changes: Changes = None, dry_run: DryRun = False, json: Json = False) -> None:
    """Train the recipe's teacher, or those that its method trains itself; without any, its student on labels alone.

    Example: [bold]edgedistill train my_recipe.yaml teacher.train.epochs=10[/]
    """
    if dry_run:
        print_plan("train", recipe, changes, json=json)
        return
    experiment = _open(recipe, changes, "train")
    teacher = experiment.teacher()
    _report(teacher if teacher is not None else experiment.baseline(), json)


@shared
def distill(
    recipe: Recipe,
    changes: Changes = None,
    seeds: Seeds = None,
    task: TaskNumber = None,
    jobs: Jobs = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Train the student with the recipe's method (and its teacher first, where that is still to be done).

    Example: [bold]edgedistill distill my_recipe.yaml method.lambda_mld=5 train.epochs=10 --seeds 0,1,2[/]
    """
    refuse_together(task, jobs, seeds)
    if dry_run:
        refuse_parts(task, jobs)
        print_plan("distill", recipe, changes, json=json, seeds=seeds)
        return
    if seeds is not None:
        _distill_over_seeds(recipe, changes, parse_seeds(seeds, changes or ()), json)
        return
    experiment = _open(recipe, changes, "distill")
    experiment.require_student()
    if task is not None:
        train_task(experiment, task, json)
        return
    if jobs is not None:
        train_side_by_side(experiment, jobs)
    _report(experiment.student(experiment.teacher()), json)


class Role(str, Enum):
    """Which of a run's models."""

    student = "student"
    baseline = "baseline"
    teacher = "teacher"


def evaluate(
    recipe: Recipe,
    changes: Changes = None,
    student: Annotated[
        Path | None, typer.Option("--student", help="A checkpoint; default: the one of the recipe's run.")
    ] = None,
    role: Annotated[Role | None, typer.Option(help="Which model of the recipe's run; default: student.")] = None,
    threshold: Annotated[
        str, typer.Option(help="A probability, `oracle_k` (the L2D protocol) or `best` (per class, from validation).")
    ] = "0.5",
    top_k: Annotated[int | None, typer.Option(min=1, help="Predict at most the k highest scores of an image.")] = None,
    retrieval: Annotated[
        int | None,
        typer.Option(min=1, metavar="K", help="Search each image's K nearest by pooled features: precision at 1..K."),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|run", help="Compare label correlations with a checkpoint, or the run's own teacher."
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Show correlation and dependency of the pairs of these classes."),
    ] = None,
    tta: Annotated[
        str | None,
        typer.Option(metavar="flip[,crops]", help="Average the logits over views of each image (not what ships)."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON on stdout.")] = False,
) -> None:
    """Metrics of a checkpoint on the recipe's test split.

    Example: [bold]edgedistill evaluate my_recipe.yaml --threshold oracle_k --retrieval 5 --teacher run[/]
    """
    if student is not None and role is not None:
        raise typer.BadParameter("--student and --role both name the model: give one of them.")
    chosen: float | Literal["oracle_k", "best"] = "best" if threshold == "best" else _threshold(threshold)
    require_training("evaluate")
    views = _views(tta)
    for checkpoint in (student, None if teacher in (None, "run") else Path(teacher)):
        if checkpoint is not None:
            checkpoint_classes(checkpoint)
    experiment = _open(recipe, changes, "evaluate")
    from edgedistill.distill.checkpoint import load_student
    from edgedistill.distill.experiment.evaluation import evaluate_checkpoint, finished_checkpoint

    from ..evaluation_tables import evaluation_tables
    from ..published import published_figures

    model = load_student(student) if student else finished_checkpoint(experiment, (role or Role.student).value)
    beside = None
    if teacher is not None:
        beside = finished_checkpoint(experiment, "teacher") if teacher == "run" else load_student(teacher)
    evaluation = evaluate_checkpoint(
        experiment,
        model,
        threshold=chosen,
        top_k=top_k,
        retrieval=retrieval,
        teacher=beside,
        labels=[name.strip() for name in (labels or "").split(",") if name.strip()],
        tta=views,
    )
    published = [] if student else experiment.recipe.published
    if json:
        console.print_json({**evaluation.plain(), "published": published})
    else:
        evaluation_tables(evaluation, console.out)
        published_figures(published, console.out, role=(role or Role.student).value, threshold=chosen)


def _views(text: str | None) -> "list[ViewAtTest]":
    if text is None:
        return []  # without waiting for torch
    from edgedistill.distill.engine.views_at_test import VIEWS

    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in VIEWS]
    if unknown:
        raise typer.BadParameter(f"--tta {unknown[0]}: give one or more of {', '.join(VIEWS)}, separated by commas.")
    return [name for name in VIEWS if name in names]


def _threshold(text: str) -> float | Literal["oracle_k"]:
    if text == "oracle_k":
        return "oracle_k"
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found <= 1:  # NaN is neither
        raise typer.BadParameter(f"--threshold {text}: give a probability from 0 to 1, `oracle_k` or `best`.")
    return found


def _distill_over_seeds(recipe: Path, changes: list[str] | None, seeds: tuple[int, ...], json: bool) -> None:
    require_training("distill")
    check_recipe(recipe, changes)
    bind_threads()
    from edgedistill.distill.recipe.load import load_recipe
    from edgedistill.distill.study.seeds import distill_over_seeds, report_path

    from ..seeds_table import seeds_table

    loaded = load_recipe(recipe, assignments=changes or ())
    report = distill_over_seeds(loaded, seeds, console.err)
    if json:
        console.print_json(report)
    else:
        seeds_table(report, report_path(loaded), console.out)


def _open(recipe: Path, changes: list[str] | None, command: str) -> "Experiment":
    require_training(command)
    check_recipe(recipe, changes)
    bind_threads()
    from edgedistill.distill.experiment import Experiment
    from edgedistill.distill.recipe.load import load_recipe

    return Experiment(load_recipe(recipe, assignments=changes or ()), console.err)


def _report(student: "Teacher", json: bool) -> None:
    found = student.card.metrics
    if json:
        console.print_json({"checkpoint": str(student.path), "validation": found})
        return
    weights = f" (epoch {found['epoch']:.0f} of the best weights)" if "epoch" in found else ""
    path = console.escape(str(student.path))
    reached = f"validation mAP {found['mAP']:.2f}" if "mAP" in found else "no validation image has scores"
    console.out.print(f"{path}: {reached}{weights}", soft_wrap=True)
