"""`--dry-run` of the commands that train."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.runtime.errors import ConfigError

from . import console
from .extras import require_training
from .processes import process_count
from .recipe_arguments import parse_seeds

if TYPE_CHECKING:
    from edgedistill.distill.planned import Command


def dry_run(
    command: "Command", recipe: Path, changes: Sequence[str] | None, *, json: bool, seeds: str | None = None
) -> None:
    """Print what the command would do: the resolved recipe, then tables; or all of it as one JSON document.

    Raises:
        ConfigError: started in several processes.
    """
    if process_count() > 1:
        raise ConfigError("--dry-run measures one process: start it without torchrun.")
    chosen = None if seeds is None else parse_seeds(seeds, changes or ())
    require_training(command)
    from edgedistill.distill.experiment import Experiment
    from edgedistill.distill.plan import plan
    from edgedistill.distill.recipe import load_recipe

    from .plan_table import plan_tables

    loaded = load_recipe(recipe, assignments=changes or ())
    runs = [loaded]
    if chosen is not None:
        from edgedistill.seeds import with_seed

        runs = [with_seed(loaded, seed) for seed in chosen]
    measured: dict = {}
    experiments = [Experiment(run, console.err) for run in runs]
    plans = [plan(experiment, command, measured) for experiment in experiments]
    if json:
        console.print_json(plans[0] if chosen is None else plans)
        return
    console.out.print(experiments[0].resolved().rstrip(), markup=False, highlight=False, soft_wrap=True)
    for one in plans[1:]:
        console.out.print(f"# and with `name: {one.name}`, `seed: {one.recipe['seed']}`", markup=False)
    plan_tables(plans, console.out)
