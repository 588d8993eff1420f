"""`study`: students x methods x seeds, as a queue that any start continues."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgedistill.distill.cores import bind_threads
from edgedistill.runtime.errors import ConfigError

from .. import console
from ..extras import require_ray, require_training

if TYPE_CHECKING:  # it needs torch
    from edgedistill.distill.study import Store, Study
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
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            min=1,
            metavar="N",
            help="Run up to N cells at once, which share the cores and GPUs; default 1. With `--on ray` on each "
            "machine; default there one per GPU, or 1.",
        ),
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(
            "--on",
            metavar="ray[:ADDRESS]",
            help="Run the cells as Ray tasks: `ray` on this machine; `ray:auto` or `ray:HOST:6379` on a cluster whose "
            "machines share the files.",
        ),
    ] = None,
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
    test: Annotated[
        bool,
        typer.Option(
            "--test", help="Train nothing: score the finished cells on the test sets that were left unread so far."
        ),
    ] = False,
    choose: Annotated[
        bool,
        typer.Option(
            "--choose",
            help="Run nothing: print the best setting of each method by validation mAP, as `methods` of another study.",
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the record as JSON on stdout.")] = False,
) -> None:
    """Compare students and methods over seeds: a queue of trainings that the same command continues.

    Example: [bold]edgedistill study my_study.yaml --jobs 2[/]
    """
    require_training("study")
    address = None if on is None else _ray_address(on)
    from edgedistill.distill.recipe.overrides import parse_assignment
    from edgedistill.runtime.config import read_yaml

    read_yaml(file)  # a wrong path or argument is told before torch is imported
    for change in changes or ():
        parse_assignment(change)
    if not (show or markdown):
        bind_threads()
    from edgedistill.distill.study import Store, load_study
    from edgedistill.distill.study.queue import Queue, select

    from ..study_table import study_markdown, study_tables

    options = [] if results is None else ["--results", str(results)]
    plan = load_study(file, changes or ())
    selected = select(plan, only or ())
    store = Store(plan, results or plan.default_record, shlex.join(["edgedistill", *plan.command(*options)]))
    queue = Queue(store, selected)
    if choose:
        _print_choices(plan, store, json=json)
        return
    if test:
        from edgedistill.distill.study.scoring import score_finished

        score_finished(queue, console.err)
    elif not (show or markdown):
        _run(queue, jobs, address, options)
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


def _ray_address(on: str) -> str:
    """As `ray.init` takes it.

    Raises:
        ConfigError: `on` is none of what `--on` takes.
        MissingDependencyError: Ray is not installed.
    """
    kind, colon, address = on.partition(":")
    if kind != "ray" or (colon and not address):
        raise ConfigError(
            f"--on {on}: cells run on `ray` (a Ray of its own on this machine) or on `ray:ADDRESS` (a cluster: "
            "`ray:auto` on one of its machines, or `ray:HOST:6379`)."
        )
    require_ray()
    return address or "local"


def _print_choices(plan: "Study", store: "Store", *, json: bool) -> None:
    from edgedistill.distill.study.choice import as_methods, choose

    if missing := store.missing():
        raise missing
    found = choose(plan, store.read())
    if json:
        console.print_json(found)
    else:
        typer.echo(as_methods(found, plan), nl=False)


def _run(queue: "Queue", jobs: int | None, address: str | None, options: list[str]) -> None:
    queue.store.write()
    if address is not None:
        from edgedistill.distill.study.on_ray import run_cells_on_ray

        run_cells_on_ray(queue, address, jobs, console.err)
    elif jobs is not None and jobs > 1:
        from edgedistill.distill.study.parallel import run_cells_side_by_side

        run_cells_side_by_side(queue, jobs, options, console.err)
    else:
        from edgedistill.distill.study.run import run_cells

        run_cells(queue, console.err)
