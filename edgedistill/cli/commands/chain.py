"""`demo` and `run`: the whole chain from images to a verified, benchmarked bundle."""

from pathlib import Path
from typing import Annotated

import typer

from .. import console
from ..dry_run import print_plan
from ..extras import require_export
from ..recipe_arguments import Changes, DryRun, Recipe, Seeds, parse_seeds

Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON on stdout.")]


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder that gets the run's folder.")] = Path("runs"),
    seed: Annotated[int, typer.Option(help="Seed of initialisation, order and augmentation.")] = 0,
    json: Json = False,
) -> None:
    """Built-in data: teacher, distilled student, bundle, parity, latency; minutes on a laptop CPU.

    Example: [bold]edgedistill demo[/]
    """
    require_export("demo")
    from edgedistill.distill.recipe import load_recipe

    name = "demo" if seed == 0 else f"demo-seed{seed}"
    _run(load_recipe("demo", {"name": name, "output": str(out), "seed": seed}), json)


def run(
    recipe: Recipe, changes: Changes = None, seeds: Seeds = None, dry_run: DryRun = False, json: Json = False
) -> None:
    """The same chain for your data; resumes where it stopped.

    Example: [bold]edgedistill run my_recipe.yaml train.epochs=10 --seeds 0,1,2[/]
    """
    chosen = None if seeds is None else parse_seeds(seeds, changes or ())
    require_export("run")
    if dry_run:
        print_plan("run", recipe, changes, json=json, seeds=seeds)
        return
    from edgedistill.distill.recipe import load_recipe

    loaded = load_recipe(recipe, assignments=changes or ())
    if chosen is None:
        _run(loaded, json)
    else:
        _run_over_seeds(loaded, chosen, json)


def _run_over_seeds(loaded: "LoadedRecipe", seeds: tuple[int, ...], json: bool) -> None:  # noqa: F821
    from edgedistill.seeds import report_path, run_over_seeds

    from ..seeds_table import seeds_table

    report = run_over_seeds(loaded, seeds, console.err)
    if json:
        console.print_json(report)
    else:
        seeds_table(report, report_path(loaded), console.out)
    if not report.passed:
        raise typer.Exit(1)


def _run(loaded: "LoadedRecipe", json: bool) -> None:  # noqa: F821 (imported only where torch is installed)
    from edgedistill.pipeline import Chain

    from ..published import published_figures
    from ..summary import run_summary

    summary = Chain(loaded, console.err).run()
    if json:
        console.print_json(summary)
    else:
        run_summary(summary, console.out)
        published_figures(loaded.recipe.published, console.out, threshold=0.5)  # the summary's F1
    if not summary.parity.passed:
        raise typer.Exit(1)
    if summary.bench.exit_code:  # measured without a gate is well
        raise typer.Exit(summary.bench.exit_code)
