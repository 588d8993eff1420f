"""`--task` and `--jobs`: the teachers that a method trains itself, one by one or several at once."""

from typing import TYPE_CHECKING, Annotated

import typer

from edgedistill.runtime.errors import ConfigError

from . import console

if TYPE_CHECKING:  # it needs torch
    from edgedistill.distill.experiment import Experiment

TaskNumber = Annotated[
    int | None,
    typer.Option(
        "--task",
        metavar="N",
        help="Train the teacher of sub-task N alone (for methods that train their own, as cpsd), and say what is left: "
        "each may be a cluster job.",
    ),
]

Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs", min=1, metavar="N", help="Train up to N sub-tasks at once on this machine, then the student."
    ),
]


def refuse_together(task: int | None, jobs: int | None, seeds: str | None) -> None:
    """Raise ConfigError for options that say different things about what is to be trained."""
    given = {"--task": task, "--jobs": jobs, "--seeds": seeds}
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise ConfigError(
            f"{named[0]} and {named[1]} do not go together: give one of them"
            + (" (a single seed's sub-tasks: `seed=1 name=trial-seed1`)." if seeds is not None else ".")
        )


def train_task(experiment: "Experiment", number: int, json: bool) -> None:
    """Train it, or find it trained, and say what it reached and what is left."""
    teachers = experiment.sub_teachers
    trained = teachers.train(number)
    left = [task.number for task in teachers.left()]
    if json:
        found = {"checkpoint": str(trained.path), "validation": trained.card.metrics, "left": left}
        console.print_json({"task": number, "classes": trained.card.classes, **found})
        return
    described = teachers.tasks[number].describe(trained.card.classes)
    reached = f"{described}: validation mAP {trained.card.metrics['mAP']:.2f}"
    console.out.print(console.escape(reached), soft_wrap=True)
    next_step = experiment.loaded.command("distill")
    if left:
        sentence = f"left of {len(teachers.tasks)} sub-tasks: {', '.join(map(str, left))}. {next_step} --task {left[0]}"
    else:
        sentence = f"all {len(teachers.tasks)} sub-tasks are trained. Now the student: {next_step}"
    console.out.print(sentence, soft_wrap=True, markup=False)


def train_side_by_side(experiment: "Experiment", jobs: int) -> None:
    """Train what is left of the sub-tasks, up to `jobs` at once."""
    from edgedistill.distill.experiment.processes import train_tasks

    train_tasks(experiment.sub_teachers, jobs, console.err)
