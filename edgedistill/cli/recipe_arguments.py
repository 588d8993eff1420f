"""What every command that takes a recipe shares: the recipe, changes to it, and the seeds it is run with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from edgedistill.runtime.errors import ConfigError

Recipe = Annotated[Path, typer.Argument(help="A recipe.yaml, or the name of a packaged recipe.")]

Changes = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="Keys of the recipe with other values, checked as in the file: `train.epochs=10` (`train.` is short for "
        "`student.train.`), `method=mld`, `method.lambda_mld=5`, `teacher=null`, `name=trial`. The value is YAML; "
        "quote what the shell would read itself: `'method={name: mld}'`.",
    ),
]

Seeds = Annotated[
    str | None,
    typer.Option(
        "--seeds",
        metavar="N,N,...",
        help="Run once per seed, in run folders <name>-seed<N>, and report mean and deviation, e.g. 0,1,2.",
    ),
]

DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Train nothing: print the resolved recipe, each network's size and the estimated time and disk.",
    ),
]


def check_recipe(recipe: Path, changes: Sequence[str] | None) -> None:
    """Find the recipe and apply the changes, which needs no torch; its keys are checked when it is loaded.

    Raises:
        ConfigError: there is no such recipe, it is no YAML, or a change is none.
    """
    from edgedistill.distill.recipe.overrides import apply_assignments, parse_assignment
    from edgedistill.distill.recipe.packaged import read_content

    content, _, _ = read_content(recipe)
    apply_assignments(content, [parse_assignment(text) for text in changes or ()])


def parse_seeds(text: str, changes: Sequence[str] = ()) -> tuple[int, ...]:
    """The different seeds in a list such as "0,1,2", in its order.

    Raises:
        ConfigError: an entry is no whole number from 0, or appears twice; or `changes` set the recipe's one seed.
    """
    if any(change.startswith("seed=") for change in changes):
        raise ConfigError(f"--seeds {text}: contradicts `seed=` on the same command line; give one of them.")
    entries = [entry.strip() for entry in text.split(",")]
    wrong = [entry for entry in entries if not (entry.isascii() and entry.isdecimal())]
    if wrong:
        raise ConfigError(f"--seeds {text}: {wrong[0]!r} is no seed; give whole numbers from 0, as in --seeds 0,1,2.")
    seeds = tuple(int(entry) for entry in entries)
    large = [seed for seed in seeds if seed >= 2**32]
    if large:
        raise ConfigError(f"--seeds {text}: {large[0]} is too large; a seed is below {2**32}.")
    twice = [seed for number, seed in enumerate(seeds) if seed in seeds[:number]]
    if twice:
        raise ConfigError(f"--seeds {text}: {twice[0]} appears twice; a seed counts once.")
    return seeds
