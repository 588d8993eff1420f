"""Teachers that no run of ours has trained: an ONNX graph, a function, a file of scores, a network of other classes."""

import hashlib
import importlib
import inspect
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

from ... import __version__
from ...runtime.config import read_yaml
from ...runtime.datasets import Dataset
from ...runtime.datasets.reading import class_list
from ...runtime.errors import ConfigError, DataError, first_line
from ...runtime.files import sha256_of
from ...runtime.preprocess import Preprocessing
from ..checkpoint import ModelCard, Student
from ..models import MappedNetwork, ModelSpec, OutsideNetwork
from ..models.class_map import Counterparts, match_classes, told
from ..recipe.inputs import teacher_preprocessing
from ..recipe.loaded import LoadedRecipe
from ..recipe.schema import TeacherSpec
from ..teacher_cache import ScoreTable, teacher_digest
from ..teacher_cache.scores import without_silent
from .programs import Program, open_graph, outside_network
from .sub_teachers import MergedCheckpoint


@dataclass(frozen=True)
class OutsideTeacher:
    """What a Student is for a checkpoint.

    Attributes:
        model: what teaches.
        card: our classes, and how its images are made.
        path: of its file, or the function's name.
    """

    model: MappedNetwork | OutsideNetwork | ScoreTable
    card: ModelCard
    path: Path

    @property
    def weights_sha256(self) -> str:
        """Of all that decides what it says."""
        if isinstance(self.model, ScoreTable):
            return hashlib.sha256(self.model.sha256.encode()).hexdigest()
        return teacher_digest(self.model)

    @property
    def says_nothing_of(self) -> str | None:
        """A clause about the classes that it does not know, if there are any."""
        return told(self.card.classes, self.model.silent)

    def knows(self, dataset: Dataset) -> bool:
        """Whether it says anything of these images; a file of scores may hold none of them."""
        return not isinstance(self.model, ScoreTable) or self.model.knows(dataset)

    def judged(self, dataset: Dataset) -> Dataset:
        """A data set, whose labels of classes that the teacher says nothing of are taken for unknown."""
        return without_silent(dataset, self.model.silent)


def shown_network(teacher: Student | MergedCheckpoint | OutsideTeacher) -> nn.Module | None:
    """The network whose parameters can be counted; None where a teacher shows none."""
    model = teacher.model.network if isinstance(teacher.model, MappedNetwork) else teacher.model
    return None if isinstance(model, OutsideNetwork | ScoreTable) else model


def open_outside(loaded: LoadedRecipe, spec: TeacherSpec, classes: tuple[str, ...]) -> OutsideTeacher:
    """The teacher of a recipe that names an ONNX graph, a function or a file of scores.

    Raises:
        ConfigError: its classes do not match, or what is named cannot be imported.
        BundleError, DataError, MissingDependencyError: a file is damaged, or what reads it is not installed.
    """
    kind = spec.outside
    assert kind is not None
    assert spec.scale is not None
    named = getattr(spec, kind)
    preprocessing = teacher_preprocessing(loaded.recipe)
    theirs, given = own_classes(loaded, spec), counterparts(loaded, spec)
    if kind == "scores":
        path = Path(loaded.resolve(named))
        table = ScoreTable.read(path, classes, spec.scale, theirs, given)
        return OutsideTeacher(table, _card(loaded, f"scores/{path.name}", classes, preprocessing), path)
    if kind == "onnx":
        path = Path(loaded.resolve(named))
        program = open_graph(path, preprocessing, spec.scale)
    else:
        path, program = Path(named), _function(named, loaded)
    network = outside_network(program, preprocessing, spec.scale, classes, theirs=theirs, given=given)
    return OutsideTeacher(network, _card(loaded, f"{kind}/{path.name}", classes, preprocessing), path)


def with_our_classes(
    loaded: LoadedRecipe, spec: TeacherSpec, teacher: Student, classes: tuple[str, ...]
) -> OutsideTeacher:
    """A network of the recipe's that was trained on other classes than the data's."""
    theirs = teacher.card.classes
    found = match_classes(classes, theirs, len(theirs), counterparts(loaded, spec), str(teacher.path))
    card = msgspec.structs.replace(teacher.card, classes=classes, thresholds=(0.5,) * len(classes))
    return OutsideTeacher(MappedNetwork(teacher.model, found), card, teacher.path)


def own_classes(loaded: LoadedRecipe, spec: TeacherSpec) -> tuple[str, ...] | None:
    """The names that the recipe tells of the teacher's classes; DataError where the list is faulty."""
    try:
        return class_list(spec.classes, loaded.base)
    except DataError as error:
        raise DataError(f"{loaded.where}: `teacher.classes`: {str(error).removeprefix('`classes`: ')}") from None


def counterparts(loaded: LoadedRecipe, spec: TeacherSpec) -> Counterparts | None:
    """The recipe's `class_map`, from its file where it names one.

    Raises:
        ConfigError: the file is no such mapping.
    """
    if not isinstance(spec.class_map, str):
        return spec.class_map
    path = Path(loaded.resolve(spec.class_map))
    if not path.is_file():
        raise ConfigError(f"{loaded.where}: `teacher.class_map`: {path} is no file.")
    try:
        return msgspec.convert(read_yaml(path), dict[str, str | int | list[str | int]])
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: is no mapping from our classes to the teacher's ({error}).") from None


def _card(loaded: LoadedRecipe, name: str, classes: tuple[str, ...], preprocessing: Preprocessing) -> ModelCard:
    return ModelCard(
        edgedistill=__version__,
        name=loaded.recipe.name,
        model=ModelSpec(name=name, head="library"),
        classes=classes,
        preprocessing=preprocessing,
        thresholds=(0.5,) * len(classes),
        recipe_sha256=loaded.digest(),
    )


def _function(named: str, loaded: LoadedRecipe) -> Program:
    module_name, _, function_name = named.partition(":")
    where = f"{loaded.where}: `teacher.callable`: {named}"
    folder = str(loaded.base.absolute())
    if folder not in sys.path:
        sys.path.append(folder)  # stays: what the function imports later lies there too
    try:
        found: Any = importlib.import_module(module_name)
        for part in function_name.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # whatever the module does when it is imported
        raise ConfigError(
            f"{where} cannot be imported ({type(error).__name__}: {first_line(error)}): write package.module:function, "
            "of a module that is installed or lies beside the recipe."
        ) from error
    if not callable(found):
        raise ConfigError(f"{where} is no function from images to scores.")
    file = inspect.getsourcefile(sys.modules[module_name])
    code = sha256_of(Path(file)) if file is not None else ""
    classes = getattr(found, "classes", None)
    return Program(torch.no_grad()(found), f"callable {named} {code}", classes, f"`teacher.callable` {named}")
