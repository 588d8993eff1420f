"""`list recipes`: the papers' grid, found by paper, data set, networks or method."""

import difflib
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.text import Text

from edgedistill.distill.recipe.packaged import packaged_recipes, read_content
from edgedistill.distill.recipe.papers.rows import PaperRecipe, paper_recipes
from edgedistill.runtime.errors import ConfigError

from .console import escape
from .render import table

_GLUE = "\u00a0"


class Wanted(NamedTuple):
    """Which recipes to list; None is any.

    Attributes:
        text: in the recipe's name.
        paper: its paper.
        dataset: its data set.
        teacher: the network that teaches; "none": the recipe gives none, though CPSD trains its own.
        student: the network that learns.
        method: a method, with all its variants, or one variant.
    """

    text: str | None = None
    paper: str | None = None
    dataset: str | None = None
    teacher: str | None = None
    student: str | None = None
    method: str | None = None


def find_recipes(wanted: Wanted) -> list[PaperRecipe]:
    """The packaged recipes that are wanted.

    Raises:
        ConfigError: there is none; the message names what there is.
    """
    everything = [*map(_plain, _files()), *paper_recipes().values()]
    found = everything
    for key, value in wanted._asdict().items():
        if value is None:
            continue
        found = [recipe for recipe in found if _matches(recipe, key, value)]
        known = sorted({text for recipe in everything for text in _values(recipe, key)})
        if key != "text" and value not in known:
            near = difflib.get_close_matches(value, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"no packaged recipe has the {key} {value!r}.{hint} There are {', '.join(known)}.")
    if not found:
        asked = " and ".join(
            f"{value!r} in its name" if key == "text" else f"{key} {value!r}"
            for key, value in wanted._asdict().items()
            if value is not None
        )
        raise ConfigError(f"no packaged recipe has {asked}: `edgedistill list recipes` shows all.")
    return found


def recipes_as_data(recipes: Sequence[PaperRecipe]) -> list[dict[str, Any]]:
    """One mapping per recipe, with all that is published of it."""
    return [
        {
            "recipe": recipe.name,
            "paper": recipe.paper,
            "dataset": recipe.dataset,
            "teacher": recipe.teacher,
            "student": recipe.student,
            "method": recipe.method,
            "mAP": recipe.mean_ap,
            "published": recipe.published,
        }
        for recipe in recipes
    ]


def recipe_rows(recipes: Sequence[PaperRecipe], console: Console) -> None:
    """One row per recipe, whose name says data set, networks and method."""
    rows = table("recipe", "published mAP", "in", right=("published mAP",))
    rows.columns[0].no_wrap = True  # a name is to be copied
    for recipe in recipes:
        mean_ap = "-" if recipe.mean_ap is None else f"{recipe.mean_ap:.2f}"
        rows.add_row(escape(recipe.name), mean_ap, escape("; ".join(entry.table for entry in recipe.published)))
    console.print(rows)


def recipe_overview(recipes: Sequence[PaperRecipe], console: Console) -> None:
    """One row per data set and pair of networks: its methods with their published mAP."""
    grouped: dict[str, list[PaperRecipe]] = {}
    for recipe in recipes:
        grouped.setdefault(recipe.name.removesuffix(f"_{recipe.method}"), []).append(recipe)
    rows = table("recipes", "methods, with the mAP that the paper published")
    rows.columns[0].no_wrap = True
    left = max(map(len, grouped)) + 2
    for pair, members in grouped.items():
        rows.add_row(escape(pair), _methods(members, console.width - left))
    console.print(rows)
    example = next((recipe for recipe in recipes if recipe.paper), recipes[0])
    console.print(
        f"\n{len(recipes)} recipes. A name is the left column, `_` and a method, as in "
        f"[cyan]edgedistill run {escape(example.name)} --dry-run[/]\n"
        "Fewer, one per line: [cyan]edgedistill list recipes voc[/], [cyan]--paper mdkd[/], [cyan]--method l2d[/], "
        "[cyan]--student mobilenetv2[/]; all, with every published figure: [cyan]--json[/]",
        soft_wrap=True,
    )


def _methods(members: Sequence[PaperRecipe], width: int) -> Text:
    """Methods with their figures, in lines of at most `width`; none breaks between a method and its figure."""
    items = [one.method if one.mean_ap is None else f"{one.method} {one.mean_ap:.2f}" for one in members]
    glued = "   ".join(
        item.replace(" ", _GLUE) for item in items
    )  # textwrap breaks at ASCII spaces alone, rich also here
    lines = textwrap.wrap(glued, max(width, 1), break_long_words=False, break_on_hyphens=False)
    told = Text("\n".join(lines).replace(_GLUE, " "))
    told.highlight_regex(r"\d+\.\d+", "dim")
    return told


def _files() -> list[str]:
    return [name for name in packaged_recipes() if name not in paper_recipes()]


def _plain(name: str) -> PaperRecipe:
    """A recipe of no paper, in the same terms."""
    content, _, _ = read_content(name)
    method = content.get("method", "vanilla")
    kind = method if isinstance(method, str) else method["name"]
    teacher = content.get("teacher", {}).get("model", {}).get("name")
    data, student = content["data"]["train"]["format"], content["student"]["model"]["name"]
    return PaperRecipe(name, "", data, teacher, student, kind, kind, ())


def _values(recipe: PaperRecipe, key: str) -> set[str]:
    """What a recipe has under a key of Wanted."""
    if key == "method":
        return {recipe.method, recipe.kind}
    if key == "teacher":
        return {recipe.teacher or "none"}
    found = getattr(recipe, "name" if key == "text" else key)
    return {found} if found else set()


def _matches(recipe: PaperRecipe, key: str, value: str) -> bool:
    return value in recipe.name if key == "text" else value in _values(recipe, key)
