"""Where a recipe is: a file, one that comes with edgedistill, or a row of a paper's table."""

import difflib
from importlib import resources
from pathlib import Path
from typing import Any

from ...runtime.config import read_yaml
from ...runtime.errors import ConfigError
from .papers.rows import find_paper_recipe, paper_recipes, recipe_content


def read_content(path: str | Path) -> tuple[dict[str, Any], str, Path]:
    """A recipe's plain data before it is checked, the file for messages, and the folder of its relative paths.

    Raises:
        ConfigError: there is no such file nor packaged recipe, or it is no YAML.
    """
    path = Path(path)
    if path.suffix not in (".yaml", ".yml"):
        found = find_paper_recipe(path.as_posix())
        if found is not None:
            return recipe_content(found), found.name, Path.cwd()
        if path.as_posix() in _recipe_files() or not path.exists():
            path = _packaged(path.as_posix())
            return {"name": path.stem, **read_yaml(path)}, str(path), Path.cwd()
    return {"name": path.stem, **read_yaml(path)}, str(path), path.resolve().parent


def packaged_recipes() -> list[str]:
    """Names of the recipes that come with edgedistill, e.g. "demo" or "l2d/coco_resnet101_mobilenetv2_l2d"."""
    return [*_recipe_files(), *paper_recipes()]


def _recipe_files() -> dict[str, Path]:
    root = Path(str(resources.files("edgedistill.distill.recipe")))
    return {file.stem: file for file in sorted(root.glob("*.yaml"))}


def _packaged(name: str) -> Path:
    files = _recipe_files()
    if name not in files:
        near = difflib.get_close_matches(name, packaged_recipes(), n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise ConfigError(
            f"{name}: no such recipe file, nor a packaged recipe.{hint} `edgedistill list recipes` shows them."
        )
    return files[name]
