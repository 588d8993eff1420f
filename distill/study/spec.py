"""study.yaml: what is compared, and on which recipe."""

import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml
from msgspec import Meta

from ...runtime.config import Config, decode
from ...runtime.errors import ConfigError
from ..recipe.overrides import Assignment, parse_assignment

Seed = Annotated[int, Meta(ge=0, lt=2**32)]

TEACHER = "teacher"
"""What the trainings of the shared teacher are called, beside the students' names."""

_NAME = re.compile(r"\w[\w.+-]*")
_OF_THE_STUDY = {"seed": "seeds", "method": "methods"}
_OF_A_STUDENT = ("student", "tasks")


class MethodVariant(Config):
    """A method as the study runs it.

    Attributes:
        method: hyper-parameters, as in a recipe's `method` section; `name` where the variant is called otherwise.
        set: keys of the recipe that this variant changes, below `student` and `tasks`, e.g. `tasks.train.epochs: 4`.
        of: the method of this study of which this is another setting; `--choose` compares it with those.
    """

    method: dict[str, Any] = {}
    set: dict[str, Any] = {}
    of: str | None = None


class StudySpec(Config):
    """A study: every student with every method under every seed.

    Attributes:
        recipe: a recipe file, or the name of a packaged one: the data, the teacher, and what the rest starts from.
        students: by name, the keys of the recipe that make each of them, below `student`; none for the recipe's own.
        methods: by name; an empty entry is the method of that name with its paper's weights.
        seeds: of initialisation, order, augmentation and the validation split; a cell for each.
        name: of the run folders' folder and of the record; None takes the file's.
        set: keys of the recipe that differ in all of the study, e.g. `input.size: 96`.
        baseline: the method that the others' gains are over; None computes no gains.
        score_test: `in_each_cell` reads the test split once, at the end of each cell; `when_asked` leaves it unread,
            and compares methods on the validation part, until `--test` scores the finished cells.
        other_tests: data sets by name that are scored wherever the test split is, as in a recipe's `data` section.
    """

    recipe: str
    students: Annotated[dict[str, dict[str, Any] | None], Meta(min_length=1)]
    methods: Annotated[dict[str, MethodVariant | None], Meta(min_length=1)]
    seeds: Annotated[list[Seed], Meta(min_length=1)]
    name: str | None = None
    set: dict[str, Any] = {}
    baseline: str | None = None
    score_test: Literal["in_each_cell", "when_asked"] = "in_each_cell"
    other_tests: dict[str, dict[str, Any]] = {}

    def family(self, name: str) -> str:
        """The method of which the one called `name` is a setting; itself, where it is no other's."""
        return (self.methods[name] or MethodVariant()).of or name

    def variant(self, name: str) -> MethodVariant:
        """The method called `name`, its section with the registered name in it."""
        found = self.methods[name] or MethodVariant()
        return msgspec.structs.replace(found, method={"name": name, **found.method})


def read_spec(content: dict[str, Any], where: str) -> StudySpec:
    """Convert and check a study file's content; raises ConfigError, naming the file and the key."""
    if content.keys() & {"data", "student"} and not content.keys() & {"recipe", "methods"}:
        raise ConfigError(
            f"{where}: is a recipe. A study file names one (`recipe: {Path(where).name}`), and holds "
            "`students`, `methods` and `seeds` to compare on it: see docs/study.md."
        )
    methods = content.get("methods")
    for name, section in methods.items() if isinstance(methods, dict) else ():
        if isinstance(section, dict):
            _check_variant(name, section, where)
    spec = decode(content, StudySpec, where=where)
    _check_spec(spec, where)
    return spec


def _check_variant(name: str, section: dict[str, Any], where: str) -> None:
    """Raise ConfigError for a key that a variant has not; hyper-parameters beside `method` are the likely mistake."""
    allowed = MethodVariant.__struct_fields__
    beside = {key: value for key, value in section.items() if not difflib.get_close_matches(str(key), allowed, n=1)}
    try:
        decode(section, MethodVariant, where=where, prefix=f"methods.{name}")
    except ConfigError as error:
        if not beside:
            raise
        flow = yaml.safe_dump(beside, default_flow_style=True, sort_keys=False, width=float("inf")).strip()
        raise ConfigError(f"{error} Hyper-parameters belong below `method`: `method: {flow}`.") from None


def _check_spec(spec: StudySpec, where: str) -> None:
    """Raise ConfigError, naming the file and the key, for what the types cannot say."""
    for section, names in (
        ("students", list(spec.students)),
        ("methods", list(spec.methods)),
        ("other_tests", list(spec.other_tests)),
    ):
        for name in names:
            if not _NAME.fullmatch(name):
                raise ConfigError(f"{where}: `{section}`: {name!r} names folders: letters, digits and . _ + - only.")
    if TEACHER in spec.students:
        raise ConfigError(f"{where}: `students.{TEACHER}`: that is what the shared teacher is called.")
    twice = [seed for number, seed in enumerate(spec.seeds) if seed in spec.seeds[:number]]
    if twice:
        raise ConfigError(f"{where}: `seeds`: {twice[0]} appears twice; a seed counts once.")
    for name, variant in spec.methods.items():
        of = None if variant is None else variant.of
        if of is not None and (of not in spec.methods or spec.family(of) != of):
            raise ConfigError(
                f"{where}: `methods.{name}.of`: {of!r} is no method of this study, or is another's setting itself."
            )
    if spec.baseline is not None and spec.baseline not in spec.methods:
        raise ConfigError(f"{where}: `baseline`: {spec.baseline!r} is none of the methods ({', '.join(spec.methods)}).")
    _refuse(spec.set, _OF_THE_STUDY, f"{where}: `set")
    for name, changes in spec.students.items():
        _allow(changes or {}, f"{where}: `students.{name}")
    for name, variant in spec.methods.items():
        _allow((variant or MethodVariant()).set, f"{where}: `methods.{name}.set")


def read_changes(changes: dict[str, Any], where: str) -> list[Assignment]:
    """A mapping of dotted keys as assignments; raises ConfigError, naming `where`, for what is no key."""
    try:
        return [parse_assignment(f"{key}=")._replace(value=value) for key, value in changes.items()]
    except ConfigError as error:
        raise ConfigError(str(error).replace("command line", where, 1)) from None


def read_arguments(arguments: Sequence[str]) -> list[Assignment]:
    """KEY=VALUE texts of the command line; raises ConfigError for a key that a study has another place for."""
    made = [parse_assignment(text) for text in arguments]
    _refuse((".".join(one.key) for one in made), _OF_THE_STUDY, "command line: `")
    return made


def _refuse(keys: Iterable[str], known: dict[str, str], where: str) -> None:
    for key in keys:
        section = known.get(key.partition(".")[0])
        if section is not None:
            raise ConfigError(f"{where}{'' if where.endswith('`') else '.'}{key}`: a study has `{section}` for that.")


def _allow(changes: dict[str, Any], where: str) -> None:
    """Raise ConfigError for a change of what all cells share, such as the data and the teacher."""
    for one in read_changes(changes, where.replace("`", "")):
        if one.key[0] not in _OF_A_STUDENT:
            raise ConfigError(
                f"{where}.{one.text.removesuffix('=')}`: all cells share data, input and teacher; only keys below "
                "`student` and `tasks` may differ between them. Set it for the whole study, in `set`."
            )
