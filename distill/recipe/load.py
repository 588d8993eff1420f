"""Reading recipes: one YAML per experiment, the whole chain from data to benchmark."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...runtime.config import decode
from ...runtime.errors import ConfigError
from .check import check
from .loaded import LoadedRecipe
from .overrides import Assignment, apply_assignments, find_mistaken, parse_assignment
from .packaged import read_content
from .papers.published import keep_published
from .papers.rows import DATA_FOLDERS
from .schema import Recipe

VARIABLE = re.compile(r"\$\{(\w+)\}")


def load_recipe(
    path: str | Path, overrides: dict[str, Any] | None = None, assignments: Sequence[str] = ()
) -> LoadedRecipe:
    """Read and check a recipe file, or a packaged one by name.

    Args:
        path: a .yaml file, or the name of a packaged recipe such as "demo".
        overrides: top-level keys that replace the file's.
        assignments: KEY=VALUE texts that change it further, e.g. "train.epochs=10"; see distill.overrides.

    Raises:
        ConfigError: names the file or the command line, the key and what is allowed.
    """
    content, where, base = read_content(path)
    content |= overrides or {}

    def attempt(chosen: Sequence[Assignment]) -> LoadedRecipe:
        changed = keep_published(content, apply_assignments(content, chosen))
        return build_recipe(changed, where, base, tuple(assignments))

    made = [parse_assignment(text) for text in assignments]
    try:
        return attempt(made)
    except ConfigError as error:
        mistaken = find_mistaken(made, attempt, error)
        if not mistaken or not str(error).startswith(where):
            raise
        typed = " ".join(assignment.text for assignment in mistaken)
        raise ConfigError(f"{where} with {typed} from the command line{str(error)[len(where) :]}") from None


def build_recipe(content: dict[str, Any], where: str, base: Path, assignments: tuple[str, ...] = ()) -> LoadedRecipe:
    """Check a recipe's plain data; the other arguments are those of `LoadedRecipe`.

    Raises:
        ConfigError: names `where`, the key and what is allowed.
    """
    recipe = decode(expand(content, where), Recipe, where=where)
    loaded = LoadedRecipe(recipe=recipe, base=base, where=where, assignments=assignments)
    check(loaded)
    return loaded


def expand(value: Any, where: str) -> Any:
    """Replace ${VARIABLE} in every string, so that a recipe can be shared without one machine's paths.

    Raises:
        ConfigError: names `where`, and a variable that is not set.
    """
    if isinstance(value, dict):
        return {key: expand(entry, where) for key, entry in value.items()}
    if isinstance(value, list):
        return [expand(entry, where) for entry in value]
    if not isinstance(value, str):
        return value
    unset = [name for name in VARIABLE.findall(value) if name not in os.environ]
    if unset:
        what = f" It is {DATA_FOLDERS[unset[0]]}." if unset[0] in DATA_FOLDERS else ""
        raise ConfigError(f"{where}: the environment variable {unset[0]} is not set; `{value}` needs it.{what}")
    return VARIABLE.sub(lambda found: os.environ[found.group(1)], value)
