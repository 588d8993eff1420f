"""`study`: students x methods x seeds, as a queue that any start continues."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import console
from ..extras import require_training

if TYPE_CHECKING:  # it needs torch
    from edgedistill.distill.study.queue import Queue

Changes = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="Keys of every cell's recipe with other values, as for `distill`: `train.epochs=10`, `name=trial`, "
        "`output=there`. Seeds and methods are the study file's.",
    ),
]


def study(
    file: Annotated[Path, typer.Argument(help="A study.yaml: see docs/study.md.")],
    changes: Changes = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, metavar="N", help="Run up to N cells at once.")] = 1,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="PATTERN",
            help="Run the cells whose name matches, e.g. `*/mld/*` or `*/8`; may be given again. "
            "A cell is called <student>/<method>/<seed>, a teacher teacher/<seed>.",
        ),
    ] = None,
    results: Annotated[
        Path | None, typer.Option("--results", help="The record; default: <output>/<name>.study.json.")
    ] = None,
    show: Annotated[bool, typer.Option("--table", help="Run nothing: print the record's tables.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Run nothing: print them as Markdown.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the record as JSON on stdout.")] = False,
) -> None:
    """Compare students and methods over seeds: a queue of trainings that the same command continues.

    Example: [bold]edgedistill study my_study.yaml --jobs 2[/]
    """
    require_training("study")
    from edgedistill.distill.recipe.overrides import parse_assignment
    from edgedistill.runtime.config import read_yaml

    read_yaml(file)  # a wrong path or argument is told before torch is imported
    for change in changes or ():
        parse_assignment(change)
    from edgedistill.distill.study import Store, load_study
    from edgedistill.distill.study.queue import Queue, select

    from ..study_table import study_markdown, study_tables

    options = [] if results is None else ["--results", str(results)]
    plan = load_study(file, changes or ())
    selected = select(plan, only or ())
    store = Store(plan, results or plan.default_record, shlex.join(["edgedistill", *plan.command(*options)]))
    queue = Queue(store, selected)
    if not (show or markdown):
        _run(queue, jobs, options)
    elif missing := store.missing():
        if results is not None:
            raise missing
        console.err.print(str(missing), markup=False, soft_wrap=True)
    record = store.read()
    if json:
        console.print_json(record)
    elif markdown:
        typer.echo(study_markdown(record), nl=False)
    else:
        study_tables(record, store.path, console.out)
    queue.require_success()


def _run(queue: "Queue", jobs: int, options: list[str]) -> None:
    from edgedistill.distill.study.parallel import run_cells_side_by_side
    from edgedistill.distill.study.run import run_cells

    queue.store.write()
    if jobs > 1:
        run_cells_side_by_side(queue, jobs, options, console.err)
    else:
        run_cells(queue, console.err)
