"""The teacher that a recipe names, opened or built; nothing here trains one."""

from dataclasses import replace
from typing import TypeAlias

import msgspec
from rich.console import Console

from ...runtime.errors import ConfigError
from ...runtime.preprocess import Preprocessing
from ...runtime.progress import print_line
from ..checkpoint import ModelCard, Student, load_student, save_student
from ..engine import current_world
from ..models import Classifier, ModelSpec
from ..models.branches import branch_for
from ..models.heads import HEADS
from ..recipe.inputs import teacher_preprocessing
from ..recipe.loaded import LoadedRecipe
from ..recipe.schema import TeacherSpec
from ..teacher_cache import ScoreTable
from .jobs import build_network, card_of
from .outside import OutsideTeacher, open_outside, own_classes, with_our_classes
from .splits import Splits
from .sub_teachers import MergedCheckpoint

Teacher: TypeAlias = Student | MergedCheckpoint | OutsideTeacher
"""What can teach, and be evaluated."""


def open_given(loaded: LoadedRecipe, spec: TeacherSpec, splits: Splits, console: Console) -> Student | OutsideTeacher:
    """A teacher that this recipe does not train.

    Args:
        loaded: the recipe.
        spec: its `teacher:`, without `train`.
        splits: its data.
        console: told where a checkpoint is shown other sizes than it learned from.

    Raises:
        ConfigError: it lacks what the method needs (the message says what trains it), or has other classes.
    """
    if spec.outside is not None:
        opened = open_outside(loaded, spec, splits.train.classes)
        if isinstance(opened.model, ScoreTable) and loaded.method().needs_teacher:
            opened.model.require(splits.taught, loaded.recipe.data.max_bad_share)
        return opened
    if spec.checkpoint is None:
        return of_our_classes(loaded, spec, _kept(build_teacher(loaded, spec, splits, console)), splits)
    teacher = load_student(loaded.resolve(spec.checkpoint))
    if spec.class_map is None:
        _require_same_classes(teacher, splits)
    _require_branches(loaded, teacher.card.model, str(teacher.path))
    card = msgspec.structs.replace(teacher.card, preprocessing=spec.input.of(teacher.card.preprocessing))
    _tell_size(loaded, card.preprocessing, spec, console)
    return of_our_classes(loaded, spec, replace(teacher, card=card), splits)


def build_teacher(loaded: LoadedRecipe, spec: TeacherSpec, splits: Splits, console: Console) -> Student:
    """The network of `teacher.model`, as it is before any training; nothing is written.

    Raises:
        ConfigError: it is to teach as it is, and its weights file does not hold a classifier of the data's classes.
    """
    assert spec.model is not None
    require_branches(loaded, spec)
    model, card = _build(loaded, spec, spec.model, splits, console)
    if spec.train is None and not model.head_is_pretrained:
        model, card = _as_the_library_computes(loaded, spec, spec.model, splits, console)
    path = loaded.folder / "teacher" / "teacher.safetensors"
    return Student(model.eval().requires_grad_(False), card, path)


def of_our_classes(
    loaded: LoadedRecipe, spec: TeacherSpec, teacher: Student, splits: Splits
) -> Student | OutsideTeacher:
    """As a teacher of the data's classes, where it was trained on others."""
    classes = splits.train.classes
    if spec.class_map is None and teacher.card.classes == classes:
        return teacher
    return with_our_classes(loaded, spec, teacher, classes)


def require_branches(loaded: LoadedRecipe, spec: TeacherSpec) -> None:
    """Raise ConfigError where `teacher.model` will lack what the method reads of it."""
    assert spec.model is not None
    _require_branches(loaded, spec.model, "teacher.model")
    if spec.train is None and spec.model.branches:
        raise ConfigError(f"{loaded.where}: `teacher.model.branches` must be trained: add `teacher.train`.")


def _require_branches(loaded: LoadedRecipe, spec: ModelSpec, where: str) -> None:
    for need in sorted(loaded.method().needs):
        branch = branch_for(need)
        if branch is not None and HEADS[spec.head].gives != need and branch not in spec.branches:
            raise ConfigError(
                f"{where}: the method needs {need.replace('_', ' ')}, which this teacher was not trained with. Set "
                f"`teacher.model.branches: [{branch}]` and run `edgedistill train {loaded.where}`."
            )


def _require_same_classes(teacher: Student, splits: Splits) -> None:
    name, classes = splits.train.name, splits.train.classes
    if set(teacher.card.classes) != set(classes):
        raise ConfigError(
            f"{teacher.path}: was trained on other classes than {name} has: say which stand for these by "
            "`teacher.class_map`."
        )
    if teacher.card.classes != classes:
        raise ConfigError(f"{teacher.path}: has the classes in another order than {name}.")


def _tell_size(loaded: LoadedRecipe, learned: Preprocessing, spec: TeacherSpec, console: Console) -> None:
    shown = loaded.recipe.input.preprocessing().size
    if spec.per_image is None and spec.input.size is None and learned.size != shown:
        height, width = learned.size
        print_line(
            console,
            f"teacher: learned from images of {height}x{width} and is shown the student's {shown[0]}x{shown[1]}; "
            f"`teacher.input.size: [{height}, {width}]` resizes them.",
        )


def _kept(teacher: Student) -> Student:
    """The user's own network as it is, with a card beside it."""
    if current_world().is_main:
        save_student(teacher.path, teacher.model, teacher.card)
    current_world().wait()
    return load_student(teacher.path)


def _build(
    loaded: LoadedRecipe, spec: TeacherSpec, model: ModelSpec, splits: Splits, console: Console
) -> tuple[Classifier, ModelCard]:
    """A network, initialised from the recipe's seed or its weights file, and the card it will be saved with."""
    classes = own_classes(loaded, spec) or splits.train.classes
    card = card_of(loaded, model, classes, teacher_preprocessing(loaded.recipe))
    return build_network(loaded, model, card, loaded.recipe.seed, console=console), card


def _as_the_library_computes(
    loaded: LoadedRecipe, spec: TeacherSpec, own: ModelSpec, splits: Splits, console: Console
) -> tuple[Classifier, ModelCard]:
    """The user's own network with its own classifier, where that is more than one layer on pooled features.

    Raises:
        ConfigError: the weights file holds no classifier of the data's classes, or the recipe names another head.
    """
    where, train = loaded.where, "Add `teacher.train` to fine-tune it first."
    if own.pretrained == "imagenet":
        raise ConfigError(f"{where}: `teacher.model.pretrained`: imagenet has other classes. {train}")
    if own.head not in ("linear", "library"):
        raise ConfigError(
            f"{where}: `teacher.model.head: {own.head}` is not the classifier that {own.pretrained_path} was trained "
            f"with: `library` is. {train}"
        )
    if "/" not in own.name:
        raise ConfigError(
            f"{where}: `teacher.model.pretrained`: {own.pretrained_path} holds no linear classifier on pooled features "
            f"for the {len(splits.train.classes)} classes of {splits.train.name}. {train}"
        )
    model, card = _build(loaded, spec, msgspec.structs.replace(own, head="library"), splits, console)
    if not model.head_is_pretrained:
        raise ConfigError(
            f"{where}: `teacher.model.pretrained`: {own.pretrained_path} holds no classifier of {own.name} for the "
            f"{len(card.classes)} classes of {splits.train.name}. {train}"
        )
    return model, card
