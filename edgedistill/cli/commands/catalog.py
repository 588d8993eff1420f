"""`list`: what is available here, what is missing, and how to get it."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from importlib import metadata
from typing import TYPE_CHECKING, Annotated

import typer

from edgedistill.runtime.errors import MissingDependencyError

from .. import console
from ..console import escape
from ..extras import register_training_formats, require_export, require_training
from ..render import named_table

if TYPE_CHECKING:
    from edgedistill.runtime.targets import Target


class Kind(str, Enum):
    """What can be listed."""

    models = "models"
    methods = "methods"
    datasets = "datasets"
    targets = "targets"
    backends = "backends"
    recipes = "recipes"


def list_(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="Of recipes: those with this in their name, e.g. l2d/voc.")
    ] = None,
    paper: Annotated[str | None, typer.Option(help="Of recipes: l2d, mdkd, ud or cpsd.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Of recipes: voc, coco or nuswide.")] = None,
    teacher: Annotated[str | None, typer.Option(help="Of recipes: the network that teaches, or none.")] = None,
    student: Annotated[str | None, typer.Option(help="Of recipes: the network that learns.")] = None,
    method: Annotated[str | None, typer.Option(help="Of recipes: a method with its variants, or a variant.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON on stdout.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Of methods: print the page docs/methods.md.")] = False,
) -> None:
    """What is available here, and what is missing and how to get it.

    Example: [bold]edgedistill list recipes --dataset voc --method mdkd[/]
    """
    wanted = (text, paper, dataset, teacher, student, method)
    if markdown and kind is not Kind.methods:
        raise typer.BadParameter(f"--markdown is for methods, not {kind.value}.")
    if kind is Kind.recipes:
        _list_recipes(wanted, json)
        return
    if any(wanted):
        raise typer.BadParameter(f"TEXT and the options but --json pick recipes, not {kind.value}.")
    if markdown:
        _print_methods_page()
        return
    headings, rows = _LISTINGS[kind]()
    if json:
        console.print_json([dict(zip(headings, row, strict=True)) for row in rows])
        return
    grouping = _GROUPED_BY.get(kind)
    columns = [index for index, heading in enumerate(headings) if heading not in {*_JSON_ONLY, grouping}]
    made = named_table(*(headings[column] for column in columns))
    missing: dict[tuple[str, str], list[str]] = {}
    group = None
    for row in rows:
        told = dict(zip(headings, row, strict=True))
        if grouping is not None and told[grouping] != group:
            group = told[grouping]
            made.add_row(f"[bold cyan]{escape(group)}[/]")
        for heading, words in _MISSING.items():
            if told.get(heading, _HERE) != _HERE:
                missing.setdefault((words, told[heading]), []).append(row[0])
                told[heading] = "no"
        made.add_row(*(escape(told[headings[column]]) for column in columns))
    console.out.print(made)
    if kind in _CAPTIONS:
        console.out.print(f"[dim]{_CAPTIONS[kind]}[/]", soft_wrap=True)
    for (words, reason), names in missing.items():
        console.out.print(f"[yellow]{words}[/]  {escape(', '.join(names))}: {escape(reason)}", soft_wrap=True)


def _models() -> tuple[list[str], list[list[str]]]:
    require_training("list models")
    from edgedistill.distill.models import BACKBONES

    rows = []
    for name in BACKBONES.names():
        factory = BACKBONES.get(name)
        widths = "any" if factory.widths is None else " ".join(map(str, factory.widths or (1.0,)))
        blocks = f"; block: {' | '.join(factory.blocks)}" if len(factory.blocks) > 1 else ""
        rows.append([name, widths, factory.description + blocks])
    rows += [
        ["torchvision/<name>", "1.0", "any torchvision classifier"],
        ["timm/<name>", "1.0", "any timm classifier; one without feature maps by `head: library`, taught on logits"],
    ]
    return ["model", "width", "description"], rows


def _methods() -> tuple[list[str], list[list[str]]]:
    require_training("list methods")
    from edgedistill.distill.methods.reference import references

    rows = []
    for found in references():
        terms = [f"{term}*" if term in found.relations else term for term in found.terms]
        defaults = [f"{name}={'none' if value is None else value}" for name, value in found.hyper_parameters.items()]
        needs = ", ".join(found.needs) or "nothing"
        rows.append([found.name, " ".join(terms), needs, " ".join(defaults), found.equations])
    return ["method", "terms", "needs", "hyper-parameters", "source"], rows


def _print_methods_page() -> None:
    require_training("list methods")
    from edgedistill.distill.methods.reference import markdown

    console.out.print(markdown(), markup=False, soft_wrap=True, end="")


def _datasets() -> tuple[list[str], list[list[str]]]:
    register_training_formats()
    from edgedistill.runtime.datasets import FORMATS

    rows = []
    for name in FORMATS.names():
        entry = FORMATS.get(name)
        rows.append([name, " ".join(entry.__struct_fields__), (entry.__doc__ or "").strip().splitlines()[0]])
    return ["format", "options", "description"], rows


def _targets() -> tuple[list[str], list[list[str]]]:
    from edgedistill.runtime.backends.base import BACKENDS
    from edgedistill.runtime.targets import GENERIC, load_target, packaged_targets

    builds = _builds()
    rows = []
    for name in packaged_targets():
        target = load_target(name)
        missing = BACKENDS.get(target.backend).lacking(target.device)
        gates = ", ".join(f"{key} {value:g}" for key, value in target.gates.items()) or "none"
        builds_it = builds(target)
        rows.append([name, target.hardware, target.precision, gates, missing or _HERE, builds_it, target.description])
    rows.sort(key=lambda row: (row[1] != GENERIC, row[1], row[0]))
    return ["target", "hardware", "precision", "gates", "here", "built here", "description"], rows


def _builds() -> Callable[["Target"], str]:
    """Whether a target's artifact can be built here, or what is missing."""
    try:
        require_export("export")
    except MissingDependencyError:
        return lambda target: 'pip install "edgedistill[export]".'
    from edgedistill.export.builders import BUILDERS

    return lambda target: BUILDERS.get(target.backend).toolchain_missing(target) or _HERE


def _backends() -> tuple[list[str], list[list[str]]]:
    from edgedistill.runtime.backends.base import BACKENDS

    rows = []
    for name in BACKENDS.names():
        backend = BACKENDS.get(name)
        opens = " ".join(backend.suffixes) or "bundles alone"
        versions = " ".join(f"{name} {version}" for name, version in _versions(backend.distributions)) or "-"
        rows.append([name, opens, " ".join(backend.devices), versions, backend.unavailable() or _HERE])
    return ["backend", "opens", "devices", "installed", "here"], rows


def _versions(distributions: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in distributions:
        with contextlib.suppress(metadata.PackageNotFoundError):
            yield name, metadata.version(name)


def _list_recipes(wanted: Sequence[str | None], json: bool) -> None:
    """All by pairs of networks; the wanted ones by row."""
    require_training("list recipes")
    from ..recipe_list import Wanted, find_recipes, recipe_overview, recipe_rows, recipes_as_data

    found = find_recipes(Wanted(*wanted))
    if json:
        console.print_json(recipes_as_data(found))
    else:
        (recipe_rows if any(wanted) else recipe_overview)(found, console.out)


_HERE = "yes"
_GROUPED_BY = {Kind.targets: "hardware"}
_MISSING = {"here": "not here", "built here": "not built here"}
_JSON_ONLY = {"hyper-parameters"}
_CAPTIONS = {Kind.methods: "* relates the images of a batch. Hyper-parameters: edgedistill list methods --markdown"}
_LISTINGS = {
    Kind.models: _models,
    Kind.methods: _methods,
    Kind.datasets: _datasets,
    Kind.targets: _targets,
    Kind.backends: _backends,
}
