"""`--dry-run` of the commands that train."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.runtime.errors import ConfigError

from . import console
from .extras import require_training
from .processes import process_count
from .recipe_arguments import check_recipe, parse_seeds

if TYPE_CHECKING:
    from edgedistill.distill.plan.facts import Command, PlannedRole
    from edgedistill.distill.plan.time import Estimate


def refuse_parts(task: int | None, jobs: int | None) -> None:
    """Raise ConfigError for options that pick sub-tasks or run them side by side."""
    if task is not None or jobs is not None:
        option = "--task" if task is not None else "--jobs"
        raise ConfigError(f"--dry-run plans all sub-tasks, one after the other: leave {option} away.")


def print_plan(
    command: "Command", recipe: Path, changes: Sequence[str] | None, *, json: bool, seeds: str | None = None
) -> None:
    """Print what the command would do: the resolved recipe, then tables; or all of it as one JSON document.

    The document is a plan, or under several seeds a list of them.

    Raises:
        ConfigError: started in several processes.
    """
    if process_count() > 1:
        raise ConfigError("--dry-run measures one process: start it without torchrun.")
    chosen = None if seeds is None else parse_seeds(seeds, changes or ())
    require_training(command)
    check_recipe(recipe, changes)
    from edgedistill.distill.experiment import Experiment
    from edgedistill.distill.plan import plan
    from edgedistill.distill.recipe.load import load_recipe
    from edgedistill.distill.study.seeds import with_seed

    from .plan_table import plan_tables

    loaded = load_recipe(recipe, assignments=changes or ())
    if command == "run":
        from edgedistill.export_check import check_export

        check_export(loaded)
    runs = [loaded] if chosen is None else [with_seed(loaded, seed) for seed in chosen]
    experiments = [Experiment(run, console.err) for run in runs]
    if not json:
        console.out.print(experiments[0].resolved().rstrip(), markup=False, soft_wrap=True)
        for run in runs[1:]:
            console.out.print(f"# the same with `name: {run.recipe.name}`, `seed: {run.recipe.seed}`", markup=False)
    measured: dict[PlannedRole, Estimate] = {}
    plans = [plan(experiment, command, measured) for experiment in experiments]
    if json:
        console.print_json(plans[0] if chosen is None else plans)
    else:
        plan_tables(plans, console.out)
