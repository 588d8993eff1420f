"""What a recipe's trainings are, ready to start: nothing here trains or writes a file."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch
from rich.console import Console

from ... import __version__
from ...runtime.datasets import Dataset
from ...runtime.files import sha256_of
from ...runtime.preprocess import Preprocessing
from ...runtime.yaml_text import format_yaml
from ..checkpoint import ModelCard
from ..data.balance import class_weights
from ..engine import Job, TeacherSource, TrainSettings
from ..methods import Method
from ..methods.class_weights import count_classes, weigh_classes
from ..methods.part import Part
from ..models import Classifier, ModelSpec, build_from_spec
from ..models.class_embeddings import read_class_embeddings
from ..models.size import require_size
from ..models.weights import DIGITS, may_fetch
from ..recipe.loaded import LoadedRecipe
from ..teacher_cache import teacher_digest
from .pretraining import EDITION, digits_backbone
from .splits import Splits


class Training(NamedTuple):
    """A training that could start: what it is, its network, what teaches it and what its method adds, if anything."""

    job: Job
    model: Classifier
    teacher: TeacherSource | None
    part: Part | None = None


def describe_job(
    loaded: LoadedRecipe,
    splits: Splits,
    *,
    title: str,
    folder: Path,
    checkpoint: str,
    spec: ModelSpec,
    preprocessing: Preprocessing,
    settings: TrainSettings,
    method: Method,
    seed: int,
    teacher: Any = None,
    start: Classifier | None = None,
) -> Job:
    """A training of the recipe.

    Args:
        loaded: the recipe.
        splits: what is learned, by a student that has a teacher from images without labels too, and what selects the
            epoch.
        title: for progress.
        folder: that its files go to.
        checkpoint: file name of the best weights.
        spec: the network.
        preprocessing: image file -> the network's input.
        settings: hyper-parameters.
        method: the objective.
        seed: of initialisation, order, augmentation and dropout.
        teacher: plain data that decides what it says; None: there is none.
        start: the network whose weights it continues from; None: its own initialisation.
    """
    train = splits.train if teacher is None else splits.taught
    decides = {
        "seed": seed,
        "preprocessing": msgspec.to_builtins(preprocessing),
        "model": [spec.deciding(), _file_digests(loaded, spec)],
        "train": settings.deciding(),
        "method": method.deciding(),
        "data": loaded.recipe.data.deciding(taught=teacher is not None),
        "images": [train.fingerprint(), splits.validation.fingerprint()],
        "teacher": teacher,
        "start": None if start is None else teacher_digest(start),
    }
    return Job(
        title=title,
        folder=folder,
        checkpoint=checkpoint,
        card=card_of(loaded, spec, splits.train.classes, preprocessing),
        train=train,
        validation=splits.validation,
        method=weighted(method, settings, train, f"{loaded.where}: `{_section(title)}.class_weights`"),
        settings=settings,
        seed=seed,
        identity=hashlib.sha256(msgspec.json.encode(decides, order="sorted")).hexdigest(),
        max_bad_share=loaded.recipe.data.max_bad_share,
        unknown=loaded.recipe.data.hears_unknown,
        caches=_caches(loaded),
        records={loaded.folder / "recipe.yaml": resolved(loaded)},
    )


def _section(title: str) -> str:
    """The key of a training's settings."""
    return {"teacher": "teacher.train", "int8": "student.int8.train"}.get(title, "student.train")


def weighted(method: Method, settings: TrainSettings, train: Dataset, where: str) -> Method:
    """The method as a training's labels and `class_weights` have it; raises ConfigError, beginning with `where`."""
    if settings.class_weights is None:
        return count_classes(method, train.labels)
    return weigh_classes(method, class_weights(settings.class_weights, train, where=where))


def card_of(loaded: LoadedRecipe, spec: ModelSpec, classes: tuple[str, ...], preprocessing: Preprocessing) -> ModelCard:
    """The card that a network of the recipe is saved with; thresholds and metrics are to be filled in."""
    return ModelCard(
        edgedistill=__version__,
        name=loaded.recipe.name,
        model=msgspec.structs.replace(spec, pretrained=None, class_embeddings=None),
        classes=classes,
        preprocessing=preprocessing,
        thresholds=(0.5,) * len(classes),
        recipe_sha256=loaded.digest(),
    )


def build_network(
    loaded: LoadedRecipe,
    spec: ModelSpec,
    card: ModelCard,
    seed: int,
    *,
    console: Console,
    data_classes: Sequence[str] = (),
) -> Classifier:
    """The network of a card, initialised from the seed or the weights that `spec` names.

    Args:
        loaded: the paths in `spec` are taken from its folder.
        spec: the network.
        card: its classes and its normalisation.
        seed: of the fresh weights.
        console: where progress is drawn, of weights that are made first.
        data_classes: those of the data, where the card has only some of them.

    Raises:
        ConfigError: the files do not fit, or the network does not take images of the recipe's size.
        CheckpointError: likewise.
    """
    files = _files(loaded, spec)
    vectors = None
    if "class_embeddings" in files:
        classes = list(data_classes or card.classes)
        rows = [classes.index(name) for name in card.classes]
        vectors = read_class_embeddings(files["class_embeddings"], len(classes))[rows]
    backbone = None
    if spec.pretrained == DIGITS:
        if may_fetch():
            backbone = digits_backbone(spec, card.preprocessing, _caches(loaded), console)
        spec = msgspec.structs.replace(spec, pretrained=None)
    torch.manual_seed(seed)
    model = build_from_spec(
        spec.with_files(loaded.resolve),
        len(card.classes),
        mean=card.preprocessing.mean,
        std=card.preprocessing.std,
        class_embeddings=vectors,
    )
    if backbone is not None:
        model.backbone.load_state_dict(backbone)
    require_size(model, card.preprocessing.size, where=f"{loaded.where}: `input.size`", name=spec.name)
    return model


def _file_digests(loaded: LoadedRecipe, spec: ModelSpec) -> dict[str, str]:
    """Of the files that a network starts from, so that another one of the same name is noticed."""
    made = {"pretrained": f"digits {EDITION}"} if spec.pretrained == DIGITS else {}
    return made | {key: sha256_of(Path(path)) for key, path in _files(loaded, spec).items()}


def _caches(loaded: LoadedRecipe) -> Path:
    """The folder of what runs share."""
    return Path(loaded.recipe.output) / "caches"


def _files(loaded: LoadedRecipe, spec: ModelSpec) -> dict[str, str]:
    """The keys of a network that name local files, with their paths."""
    named = {"pretrained": spec.pretrained_path, "class_embeddings": spec.class_embeddings}
    return {key: loaded.resolve(path) for key, path in named.items() if path is not None}


def resolved(loaded: LoadedRecipe) -> str:
    """The recipe with every default, as YAML."""
    student = msgspec.structs.replace(loaded.recipe.student, int8=loaded.int8())
    recipe = msgspec.structs.replace(loaded.recipe, tasks=loaded.tasks(), student=student)
    header = f"# Relative paths are taken from {loaded.base}\n"
    return header + format_yaml(msgspec.to_builtins(recipe))
