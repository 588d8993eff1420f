"""The recipes of the papers' tables: one data file per paper, one line per row."""

import copy
import functools
from importlib import resources
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from ....runtime.config import Config, decode, read_yaml
from ....runtime.errors import ConfigError
from .published import Published

_NO_TEACHER = "none"

DATA_FOLDERS = {
    "VOC2007": "VOCdevkit/VOC2007 of the trainval and test archives (host.robots.ox.ac.uk/pascal/VOC/voc2007)",
    "VOC2012": "VOCdevkit/VOC2012 of the trainval archive (host.robots.ox.ac.uk/pascal/VOC/voc2012)",
    "COCO2014": "the folder that holds annotations/, train2014/ and val2014/ (cocodataset.org/#download)",
    "COCO2017": "the folder that holds annotations/, train2017/ and val2017/ (cocodataset.org/#download)",
    "NUSWIDE": "the folder that holds ConceptsList/, ImageList/, Groundtruth/ and Flickr/ (the official archives)",
}
"""What the environment variables of packaged recipes stand for, and where to get it."""


class PaperRecipe(NamedTuple):
    """One recipe: its place in the papers' grid.

    Attributes:
        name: `<paper>/<dataset>_<teacher>_<student>_<method>`; without a teacher, that part is absent.
        paper: "l2d", "mdkd", "ud" or "cpsd".
        dataset: "voc", "coco" or "nuswide".
        teacher: the network, None without one.
        student: the network.
        method: a key of the paper's `methods`: a method, or a variant of one.
        kind: the method by its registered name.
        published: one entry for each table that has the row.
    """

    name: str
    paper: str
    dataset: str
    teacher: str | None
    student: str
    method: str
    kind: str
    published: tuple[Published, ...]

    @property
    def mean_ap(self) -> float | None:
        """The first mAP that the paper prints, in percent."""
        return next((entry.figures["mAP"] for entry in self.published if "mAP" in entry.figures), None)


class _Table(Config):
    """One table of a paper.

    Attributes:
        table: its number, as printed; "not in the paper" for recipes beside its tables.
        dataset: a key of the paper's `datasets`.
        columns: metrics, in the order of the rows' figures.
        classes: whose average precisions follow them.
        teachers: the teachers' own figures.
        rows: teacher (or `none`), student, method, the figures (null: not printed, or not legible), and perhaps a note.
        note: of every row.
    """

    table: str
    dataset: str
    rows: list[list[Any]]
    columns: list[str] = []
    classes: list[str] = []
    teachers: dict[str, list[float | None]] = {}
    note: str = ""


class _Paper(Config):
    """A paper's file. Mappings are laid over each other, the later over the earlier: recipe, dataset, networks, method.

    Attributes:
        title: authors, title, venue.
        recipe: what all its recipes share; its `teacher` section only those with a teacher.
        datasets: by label, a piece of a recipe.
        methods: likewise.
        networks: models by label, where the label alone does not say it.
        tables: the rows.
        threshold: see Published.
    """

    title: str
    recipe: dict[str, Any]
    datasets: dict[str, dict[str, Any]]
    methods: dict[str, dict[str, Any]]
    tables: list[_Table]
    networks: dict[str, dict[str, Any]] = {}
    threshold: float | Literal["oracle_k"] | None = None


def paper_recipes(paper: str | None = None) -> dict[str, PaperRecipe]:
    """The recipes of one paper, or of all, by name and in the order of the tables.

    Raises:
        ConfigError: a row does not fit its table's columns, or names a dataset or method that the file lacks.
    """
    if paper is not None:
        return dict(_expand(paper)) if paper in _files() else {}
    return {name: recipe for one in _files() for name, recipe in _expand(one).items()}


def find_paper_recipe(name: str) -> PaperRecipe | None:
    """The recipe of that name, None where there is none."""
    return paper_recipes(name.partition("/")[0]).get(name)


def recipe_content(recipe: PaperRecipe) -> dict[str, Any]:
    """The whole recipe as plain data, what a file of it would hold."""
    paper = _read(recipe.paper)
    models = {"student": {"model": _network(paper, recipe.student)}}
    if recipe.teacher is not None:
        models["teacher"] = {"model": _network(paper, recipe.teacher)}
    content: dict[str, Any] = {"name": recipe.name}
    for layer in (paper.recipe, paper.datasets[recipe.dataset], models, paper.methods[recipe.method]):
        content = _merge(content, layer)
    if recipe.teacher is None:
        content.pop("teacher", None)
    return {**content, "published": [msgspec.to_builtins(entry) for entry in recipe.published]}


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`above` laid over `below`: mappings key by key, everything else replaced; a copy."""
    merged = copy.deepcopy(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else copy.deepcopy(value)
    return merged


def _network(paper: _Paper, label: str) -> dict[str, Any]:
    return {"name": label, **paper.networks.get(label, {})}


@functools.cache
def _files() -> dict[str, Path]:
    root = Path(str(resources.files("edgedistill.distill.recipe.papers")))
    return {file.stem: file for file in sorted(root.glob("*.yaml"))}


@functools.cache
def _read(paper: str) -> _Paper:
    file = _files()[paper]
    return decode(read_yaml(file), _Paper, where=str(file))


@functools.cache
def _expand(name: str) -> dict[str, PaperRecipe]:
    paper = _read(name)
    found: dict[str, PaperRecipe] = {}
    for table in paper.tables:
        for row in table.rows:
            recipe = _recipe(name, paper, table, row)
            earlier = found.get(recipe.name)
            if earlier is not None:
                recipe = recipe._replace(published=(*earlier.published, *recipe.published))
            found[recipe.name] = recipe
    return found


def _recipe(name: str, paper: _Paper, table: _Table, entry: list[Any]) -> PaperRecipe:
    where = f"{_files()[name]}: {table.table}"
    row = _Row.parse(entry, table, where)
    if table.dataset not in paper.datasets or row.method not in paper.methods:
        raise ConfigError(f"{where}, row {entry}: `datasets` has no {table.dataset!r}, or `methods` no {row.method!r}.")
    chosen = paper.methods[row.method]["method"]
    published = Published(
        table=f"{name.upper()}, {table.table}",
        figures=_printed(table.columns, row.figures),
        ap=_printed(table.classes, row.ap),
        teacher=_of_teacher(table, row.teacher, where),
        threshold=paper.threshold,
        note=" ".join(filter(None, (table.note, row.note))),
    )
    return PaperRecipe(
        name=f"{name}/" + "_".join(filter(None, (table.dataset, row.teacher, row.student, row.method))),
        paper=name,
        dataset=table.dataset,
        teacher=row.teacher,
        student=row.student,
        method=row.method,
        kind=chosen if isinstance(chosen, str) else chosen["name"],
        published=(published,),
    )


class _Row(NamedTuple):
    """A row of a table; figures in the order of its `columns`, average precisions in that of its `classes`."""

    teacher: str | None
    student: str
    method: str
    figures: list[float | None]
    ap: list[float | None]
    note: str

    @classmethod
    def parse(cls, entry: list[Any], table: _Table, where: str) -> "_Row":
        wanted = len(table.columns) + len(table.classes)
        names, numbers, notes = entry[:3], entry[3 : 3 + wanted], entry[3 + wanted :]
        fits = len(names) == 3 and len(numbers) == wanted and len(notes) <= 1
        figures = all(number is None or isinstance(number, int | float) for number in numbers)
        if not (fits and figures and all(isinstance(text, str) for text in (*names, *notes))):
            raise ConfigError(
                f"{where}, row {entry}: must be teacher, student, method and {wanted} figures, and perhaps a note."
            )
        teacher, student, method = names
        split = len(table.columns)
        return cls(
            None if teacher == _NO_TEACHER else teacher,
            student,
            method,
            numbers[:split],
            numbers[split:],
            "".join(notes),
        )


def _of_teacher(table: _Table, teacher: str | None, where: str) -> dict[str, float]:
    """What the table prints of the teacher itself; every entry of its `teachers` is checked."""
    teaching = {row[0] for row in table.rows}
    for name, figures in table.teachers.items():
        if name not in teaching or len(figures) != len(table.columns):
            raise ConfigError(
                f"{where}, teachers, {name}: must be the teacher of a row, with {len(table.columns)} figures."
            )
    return _printed(table.columns, table.teachers[teacher]) if teacher in table.teachers else {}


def _printed(names: list[str], numbers: list[float | None]) -> dict[str, float]:
    """The figures that are there."""
    return {name: float(number) for name, number in zip(names, numbers, strict=True) if number is not None}
