"""Teaching a network in one call, from Python."""

import contextlib
import hashlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from rich.console import Console
from torch import nn

from ... import __version__
from ...runtime.config import decode_tagged
from ...runtime.datasets import Dataset
from ...runtime.errors import ConfigError, InterruptedRunError
from ...runtime.preprocess import Preprocessing
from ...runtime.progress import print_line
from ..checkpoint import ModelCard, Student, load_student
from ..data.split import split_validation
from ..engine import Job, TrainSettings, fit
from ..engine.summary import is_finished
from ..experiment.jobs import weighted
from ..experiment.splits import refuse_shared
from ..methods import METHODS, Method
from ..methods.shown import require_maps
from ..models import Classifier
from ..models.class_map import Counterparts
from ..models.outside import Scale
from ..models.plain import as_classifier, normalisation_of, require_float32, spec_of
from ..recipe.check_training import why_not_mixed, why_not_weighed
from ..teacher_cache import CachedSource, PerImageSource
from .datasets import Data, TorchDataset, as_dataset
from .settings import check_arguments, read_settings
from .teaching import GivenTeacher, Own, judge_teacher, open_teacher, way_to_maps

_WHERE = "distil"


def distil(
    student: nn.Module,
    teacher: GivenTeacher | None,
    train: Data,
    validation: Data | float = 0.1,
    *,
    method: str | Mapping[str, Any] | Method = "mld",
    classes: Sequence[str] | None = None,
    input: int | tuple[int, int] | Preprocessing = 224,
    teacher_input: Preprocessing | None = None,
    teacher_per_image: Mapping[str, Any] | None = None,
    student_maps: str | Sequence[str] = (),
    teacher_maps: str | Sequence[str] = (),
    teacher_scale: Scale | None = None,
    teacher_classes: Sequence[str] | None = None,
    class_map: Counterparts | None = None,
    folder: str | Path = "runs/distil",
    seed: int = 0,
    max_bad_share: float = 0.01,
    accept_teacher: bool = False,
    console: Console | None = None,
    **settings: Any,
) -> Student:
    """Teach `student` what `teacher` knows; the same call continues where it was interrupted.

    The student is trained in place and ends with the weights of the epoch that was best on the validation part.

        student = distil(MyNet(), teacher, train, validation, method="mld", epochs=20, lr=1e-3)
        export_bundle(student, ["onnxruntime-cpu-fp32"], "bundle")

    Args:
        student: any module that maps normalised float32 images (B, 3, H, W) to logits (B, C), or one of `build_model`.
        teacher: likewise; or a checkpoint of an earlier run, loaded or by its path; None for labels alone. For methods
            on logits also a function from uint8 images (B, H, W, 3) RGB to scores (B, C), or the path of an .onnx graph
            or of a file of scores by image id (.npz, .parquet, .csv), see docs/teachers.md.
        train: what is learned from: a torch Dataset of (image, labels) or a DataLoader around one, a Dataset of ours,
            or what `runtime.datasets.open_dataset` reads; see `api.datasets.as_dataset`. Decoding, resizing,
            augmentation and normalisation are the training's.
        validation: likewise, which selects the epoch and the thresholds; or the share of `train` that is set apart for
            it.
        method: a name of `edgedistill list methods`, a mapping of `name` and hyper-parameters, or `build_method`'s.
        classes: C names, where the data have none.
        input: how an image becomes the network's input: a side in pixels or (height, width), with the network's own
            normalisation where it says one (else ImageNet's); or all of it.
        teacher_input: of the teacher: it is shown the student's view, resized to this size. Without, it has the
            student's, with its own normalisation where it says one.
        teacher_per_image: ask the teacher once about each whole image, decoded at `size` pixels (its own without), and
            about the mean of the views `tta` ("flip", "crops"), instead of about the student's views:
            `{"size": 288, "tta": ["flip"]}`, for methods on logits.
        student_maps: names of submodules whose outputs are its feature maps (B, F, H, W), shallow to deep, for methods
            that read any (`reviewkd`, `rkd`, `pkt`, `l2d`, `ud`); timm's networks and ours show theirs without.
        teacher_maps: likewise.
        teacher_scale: what a function, a graph or a file gives: "logits" or "probabilities".
        teacher_classes: the teacher's class names in its order, where they are others and it does not say them.
        class_map: of a class of the data, by its name, the teacher's class or classes (the highest score counts).
            Classes that are not named have the teacher's of the same name, or are not taught by it.
        folder: for the checkpoint, the log and what an exact resume needs.
        seed: of order, augmentation, dropout and of the split. The student's first weights are the caller's.
        max_bad_share: share of undecodable images at which the training stops.
        accept_teacher: teach also where the teacher is no better than chance on the validation part, which else stops
            the call.
        console: where progress is drawn; None is the terminal.
        settings: of the training: `epochs`, `lr`, `batch_size`, `augment`, `ema`, ...; see `TrainSettings`.

    Returns:
        The best checkpoint, whose `model` holds the student's module.

    Raises:
        ConfigError: a setting does not exist or has an impossible value; the networks do not fit the data, or the
            method what they show.
        DataError: the data cannot be read as images with labels.
        CheckpointError: `folder` holds another training.
        InterruptedRunError: Ctrl-C; the same call continues.
    """
    arguments = check_arguments(
        method="" if isinstance(method, Method) else method,
        folder=folder,
        seed=seed,
        max_bad_share=max_bad_share,
        classes=classes,
        teacher_classes=teacher_classes,
        class_map=class_map,
        student_maps=student_maps,
        teacher_maps=teacher_maps,
        teacher_per_image=teacher_per_image,
    )
    asked = _method(method)
    chosen = read_settings(settings, list(inspect.signature(distil).parameters)[:-1], asked)
    if train is validation:
        raise _same_data()
    learned, selecting = _parts(train, validation, classes, seed)
    shown = _preprocessing(input, student)
    taught = as_classifier(student, len(learned.classes), shown, student_maps, "student")
    require_float32(taught, "student")
    shown = msgspec.structs.replace(shown, **normalisation_of(taught))
    if not isinstance(teacher_input, Preprocessing | None):
        raise ConfigError(f"{_WHERE}: `teacher_input` is {teacher_input!r}: a Preprocessing is wanted.")
    own = Own(teacher_input, teacher_maps, teacher_scale, teacher_classes, class_map, arguments.teacher_per_image)
    source = open_teacher(
        teacher, asked, learned, shown, own, mixes=chosen.mix is not None, max_bad_share=max_bad_share
    )
    taught_by = source.network if isinstance(source, CachedSource | PerImageSource) else None
    require_maps(asked, taught, "the student", way_to_maps("student"))
    _require_labels(asked, chosen, taught)
    spec = taught.spec or spec_of(student)
    torch.manual_seed(seed)  # of what the method adds
    part = asked.build_part(taught, taught_by, shown.size)
    decides = {
        "seed": seed,
        "preprocessing": msgspec.to_builtins(shown),
        "model": _shapes(taught),
        "part": None if part is None else _shapes(part),
        "train": chosen.deciding(),
        "method": asked.deciding(),
        "images": [learned.fingerprint(), selecting.fingerprint()],
        "teacher": None if source is None else source.identity(),
    }
    folder = Path(folder)
    job = Job(
        title=folder.name,
        folder=folder,
        checkpoint="student.safetensors",
        card=ModelCard(
            edgedistill=__version__,
            name=folder.name,
            model=spec,
            classes=learned.classes,
            preprocessing=shown,
            thresholds=(0.5,) * len(learned.classes),
        ),
        train=learned,
        validation=selecting,
        method=weighted(asked, chosen, learned, f"{_WHERE}: `class_weights`"),
        settings=chosen,
        seed=seed,
        identity=hashlib.sha256(msgspec.json.encode(decides, order="sorted")).hexdigest(),
        max_bad_share=max_bad_share,
    )
    console = console or Console()
    if is_finished(job):
        print_line(console, f"{job.title}: is finished; its result is read from {folder}")
    elif source is not None:
        judge_teacher(source, job, accept=accept_teacher, console=console)
    with _learning(taught):
        try:
            best = fit(job, taught, source, console, part)
        except InterruptedRunError as error:
            raise InterruptedRunError(str(error).replace("The same command", "The same call")) from None
        return load_student(best, network=taught.cpu())


@contextlib.contextmanager
def _learning(network: nn.Module) -> Iterator[None]:
    """What is frozen in between, by `parts` or as a finished student is, the caller finds as it was.

    Of a network in which nothing learns, as one that has taught, all does.
    """
    if not any(parameter.requires_grad for parameter in network.parameters()):
        network.requires_grad_(True)
    before = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    try:
        yield
    finally:
        for parameter, learns in before:
            parameter.requires_grad_(learns)


def _shapes(network: nn.Module) -> list[tuple[str, list[int]]]:
    return [(name, list(value.shape)) for name, value in network.state_dict().items()]


def _require_labels(method: Method, settings: TrainSettings, student: Classifier) -> None:
    """Raise ConfigError where images are mixed or classes weighed, and the method knows no such thing."""
    found = {
        "mix": why_not_mixed(method, list(student.branches)) if settings.mix else None,
        "class_weights": why_not_weighed(method) if settings.class_weights else None,
    }
    for key, reason in found.items():
        if reason:
            raise ConfigError(f"{_WHERE}: `{key}`: {reason}. Or leave `{key}` out.")


def _method(method: str | Mapping[str, Any] | Method) -> Method:
    found = method
    if not isinstance(found, Method):
        content = found if isinstance(found, str) else dict(found)
        found = decode_tagged(content, METHODS, tag="name", where=_WHERE, prefix="method")
    if found.trains_teachers:
        raise ConfigError(
            f"{_WHERE}: {type(found).__name__} trains teachers of its own, which a module alone cannot be built for: "
            "write a recipe, which `edgedistill distill` carries out; docs/python.md shows one with a network of yours."
        )
    return found


def _parts(train: Data, validation: Data | float, classes: Sequence[str] | None, seed: int) -> tuple[Dataset, Dataset]:
    learned = as_dataset(train, classes, "train")
    if isinstance(validation, float):
        return split_validation(learned, validation, seed)
    if isinstance(validation, int):
        raise ConfigError(f"{_WHERE}: `validation` is {validation}: give data, or a share of `train` such as 0.1.")
    selecting = as_dataset(validation, learned.classes, "validation")
    if isinstance(learned, TorchDataset) and isinstance(selecting, TorchDataset):
        if learned.shows_the_same_as(selecting):
            raise _same_data()
    elif not isinstance(learned, TorchDataset) and not isinstance(selecting, TorchDataset):
        refuse_shared("validation", selecting, "train", learned)
    return learned, selecting


def _same_data() -> ConfigError:
    return ConfigError(f"{_WHERE}: `train` and `validation` are the same data: give a share, such as 0.1, or others.")


def _preprocessing(input: int | tuple[int, int] | Preprocessing, student: nn.Module) -> Preprocessing:
    if isinstance(input, Preprocessing):
        return input
    size = (input, input) if isinstance(input, int) and not isinstance(input, bool) else input
    if (
        not isinstance(size, tuple | list)
        or len(size) != 2
        or not all(isinstance(one, int) and one > 0 for one in size)
    ):
        raise ConfigError(
            f"{_WHERE}: `input` is {input!r}: a side in pixels, (height, width) or a Preprocessing is wanted."
        )
    return Preprocessing(size=(size[0], size[1]), **normalisation_of(student))
