"""`demo` and `run`: the whole chain from images to a verified, benchmarked bundle."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from edgedistill.distill.cores import bind_threads
from edgedistill.runtime.verdicts import EXIT_CODES

from .. import console
from ..dry_run import print_plan
from ..extras import require_export
from ..recipe_arguments import Changes, DryRun, Recipe, Seeds, check_recipe, parse_seeds

if TYPE_CHECKING:  # it needs torch
    from edgedistill.distill.recipe.loaded import LoadedRecipe

Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON on stdout.")]


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder that gets the run's folder.")] = Path("runs"),
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Seed of initialisation, order and augmentation.")
    ] = 0,
    json: Json = False,
) -> None:
    """Built-in data: teacher, distilled student, bundle, parity, latency; minutes on a laptop CPU.

    Example: [bold]edgedistill demo[/]
    """
    require_export("demo")
    bind_threads()
    from edgedistill.distill.recipe.load import load_recipe

    name = "demo" if seed == 0 else f"demo-seed{seed}"
    _run(load_recipe("demo", {"name": name, "output": str(out), "seed": seed}), json)


def run(
    recipe: Recipe, changes: Changes = None, seeds: Seeds = None, dry_run: DryRun = False, json: Json = False
) -> None:
    """The same chain for your data; resumes where it stopped. It verifies and measures on the machine that it runs on.

    Exit codes: 0 every artifact that ran met its gates, 1 one failed, 3 none could run, 4 undecided (too few images, or
    a disturbed machine), 5 not judged (a deploy config has no gate for the mAP or the size). A latency without a gate
    is only shown.

    Example: [bold]edgedistill run my_recipe.yaml train.epochs=10 --seeds 0,1,2[/]
    """
    chosen = None if seeds is None else parse_seeds(seeds, changes or ())
    require_export("run")
    if dry_run:
        print_plan("run", recipe, changes, json=json, seeds=seeds)
        return
    check_recipe(recipe, changes)
    bind_threads()
    from edgedistill.distill.recipe.load import load_recipe

    loaded = load_recipe(recipe, assignments=changes or ())
    if chosen is None:
        _run(loaded, json)
    else:
        _run_over_seeds(loaded, chosen, json)


def _run_over_seeds(loaded: "LoadedRecipe", seeds: tuple[int, ...], json: bool) -> None:
    from edgedistill.distill.study.seeds import report_path
    from edgedistill.seeds import run_over_seeds

    from ..seeds_table import seeds_table

    report = run_over_seeds(loaded, seeds, console.err)
    if json:
        console.print_json({"verdict": report.verdict, **msgspec.to_builtins(report)})
    else:
        seeds_table(report, report_path(loaded), console.out)
    if report.verdict is not None:
        raise typer.Exit(EXIT_CODES[report.verdict])


def _run(loaded: "LoadedRecipe", json: bool) -> None:
    from edgedistill.pipeline import Chain

    from ..published import published_figures
    from ..summary import run_summary, summary_with_verdicts

    summary = Chain(loaded, console.err).run()
    if json:
        console.print_json(summary_with_verdicts(summary))
    else:
        run_summary(summary, console.out, configs_with_host=loaded.configs_with_host())
        published_figures(loaded.recipe.published, console.out, threshold=0.5)  # the summary's F1
    raise typer.Exit(EXIT_CODES[summary.verdict])
