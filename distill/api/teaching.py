"""What a user calls a teacher, as one."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
from rich.console import Console
from torch import nn

from ...runtime.datasets import Dataset
from ...runtime.datasets.score_file import SUFFIXES
from ...runtime.errors import ConfigError
from ...runtime.preprocess import Preprocessing
from ..checkpoint import Student, load_student
from ..engine import Job, choose_device, current_world, predict_logits
from ..experiment.continuing import sharing_weights
from ..experiment.programs import open_function, open_graph, outside_network
from ..experiment.quality import quality_of, require_quality, tell
from ..methods import Method
from ..methods.shown import require_learned, require_maps, require_one_size, require_shown
from ..models import Classifier, MappedNetwork, ResizedInput, TeacherModel
from ..models.class_map import Counterparts, match_classes, told
from ..models.outside import Scale
from ..models.plain import as_classifier, normalisation_of, require_float32
from ..models.size import require_size
from ..recipe.inputs import require_side
from ..recipe.schema import PerImage
from ..teacher_cache import CachedSource, PerImageSource, ScoresSource, ScoreTable
from ..teacher_cache.scores import without_silent

GivenTeacher: TypeAlias = nn.Module | Student | str | Path | Callable[[np.ndarray], Any]

_WHERE = "distil"


class Own(NamedTuple):
    """What a teacher has of its own; see `distil`."""

    input: Preprocessing | None
    maps: str | Sequence[str]
    scale: Scale | None
    classes: Sequence[str] | None
    class_map: Counterparts | None
    per_image: PerImage | None = None

    @property
    def mapped(self) -> bool:
        """Whether its classes are others than the data's."""
        return self.classes is not None or self.class_map is not None


def open_teacher(
    teacher: GivenTeacher | None,
    method: Method,
    data: Dataset,
    shown: Preprocessing,
    own: Own,
    *,
    mixes: bool,
    max_bad_share: float,
) -> CachedSource | PerImageSource | ScoresSource | None:
    """The teacher of a training on `data`, frozen and as the method asks for it; None for labels alone.

    Args:
        teacher: what the user gave.
        method: the objective.
        data: the training part.
        shown: how the student's images are made.
        own: what differs for the teacher.
        mixes: whether images are mixed.
        max_bad_share: of images of which a file may hold no scores.

    Raises:
        ConfigError: it does not fit the method, the data or its own description.
        DataError, BundleError, CheckpointError: a file is damaged.
    """
    if not method.needs_teacher:
        return None
    if teacher is None:
        raise ConfigError(
            f'{_WHERE}: the method {type(method).__name__} learns from a teacher: give one, or `method="vanilla"`.'
        )
    suffix = Path(teacher).suffix.lower() if isinstance(teacher, str | Path) else ""
    outside = suffix in (".onnx", *SUFFIXES) or not isinstance(teacher, nn.Module | Student | str | Path)
    _check(method, own, outside=outside)
    if own.per_image is not None:
        _check_per_image(method, own.per_image, program=outside, mixes=mixes)
    if suffix in SUFFIXES:
        assert isinstance(teacher, str | Path)
        return _scores(Path(teacher), data, own, mixes=mixes, max_bad_share=max_bad_share)
    if outside:
        assert own.scale is not None
        size = own.input or shown
        program = open_graph(Path(teacher), size, own.scale) if suffix else open_function(teacher)  # type: ignore[arg-type]
        found: TeacherModel = outside_network(
            program, size, own.scale, data.classes, theirs=own.classes, given=own.class_map
        )
    else:
        found, size = _network(teacher, method, data, shown, own)  # type: ignore[arg-type]  # neither program nor scores
    if own.per_image is not None:
        asked, key = own.per_image.of(size), f"{_WHERE}: `teacher_per_image.size`"
        require_side(asked.size, key)
        network = found.network if isinstance(found, MappedNetwork) else found
        if isinstance(network, Classifier):
            require_size(network, asked.size, where=key, name="the teacher")
        return PerImageSource(found, asked, own.per_image.tta)
    if size.size != shown.size and (own.input is not None):
        require_one_size(method, f"{_WHERE}: `teacher_input`")
        assert not isinstance(found, ResizedInput)
        found = ResizedInput(found, size.size, size.interpolation)
    return CachedSource(found)


def judge_teacher(
    source: CachedSource | PerImageSource | ScoresSource, job: Job, *, accept: bool, console: Console
) -> None:
    """Tell how good the teacher is on the validation part; one that knows nothing teaches only where it is accepted.

    A file may hold no scores of the validation images: then that is told.
    """
    quality = None
    if not isinstance(source, ScoresSource):
        outputs = predict_logits(
            source.network.to(choose_device()),
            without_silent(job.validation, source.silent),
            source.preprocessing if isinstance(source, PerImageSource) else job.card.preprocessing,
            tta=source.tta if isinstance(source, PerImageSource) else (),
            max_bad_share=job.max_bad_share,
            world=current_world(),
        )
        quality = quality_of(outputs)
    elif source.table.knows(job.validation):
        quality = quality_of(source.table.outputs(job.validation))
    tell(quality, None if source.silent is None else told(job.card.classes, source.silent), console)
    if quality is not None and not accept:
        require_quality(quality, None, _WHERE, "accept_teacher=True")


def way_to_maps(who: str) -> str:
    """Of "student" or "teacher": what else there is than a method on logits."""
    return f'name the submodules that give maps, as in `{who}_maps="layer4"`'


def _check(method: Method, own: Own, *, outside: bool) -> None:
    if outside and own.scale is None:
        raise ConfigError(
            f'{_WHERE}: say what the teacher gives: `teacher_scale="logits"` or `teacher_scale="probabilities"`.'
        )
    if not outside and own.scale is not None:
        raise ConfigError(f"{_WHERE}: `teacher_scale` is for functions, graphs and files; a network gives logits.")
    require_shown(method, "this teacher", _WHERE, outside=outside, mapped=own.mapped)


def _check_per_image(method: Method, asked: PerImage, *, program: bool, mixes: bool) -> None:
    if mixes:
        raise ConfigError(
            f"{_WHERE}: `mix` asks about mixed images, `teacher_per_image` about whole ones: leave one out."
        )
    if program and asked.size is not None:
        raise ConfigError(f"{_WHERE}: `teacher_per_image.size` is for networks: give this one its `teacher_input`.")
    require_shown(method, "a teacher that is asked per image", _WHERE, outside=True, mapped=False)


def _scores(path: Path, data: Dataset, own: Own, *, mixes: bool, max_bad_share: float) -> ScoresSource:
    assert own.scale is not None
    if mixes or own.input is not None or own.per_image is not None:
        key = "mix" if mixes else "teacher_input" if own.input is not None else "teacher_per_image"
        raise ConfigError(f"{_WHERE}: `{key}`: the scores of {path} are those of whole images: leave it out.")
    table = ScoreTable.read(path, data.classes, own.scale, own.classes, own.class_map)
    table.require(data, max_bad_share)
    return ScoresSource(table)


def _network(
    teacher: nn.Module | Student | str | Path, method: Method, data: Dataset, shown: Preprocessing, own: Own
) -> tuple[TeacherModel, Preprocessing]:
    """A network, and how its images are made."""
    if isinstance(teacher, str | Path):
        teacher = load_student(teacher)
    theirs = tuple(own.classes) if own.classes is not None else data.classes
    if isinstance(teacher, Student):
        theirs = teacher.card.classes
        if own.class_map is None and theirs != data.classes:
            raise ConfigError(
                f"{_WHERE}: {teacher.path} has other classes than {data.name}, or another order: say which stand for "
                "these by `class_map`."
            )
        teacher = teacher.model
    size = own.input or msgspec.structs.replace(shown, **normalisation_of(teacher))
    found = as_classifier(teacher, len(theirs), size, own.maps, "teacher")
    require_float32(found, "teacher")
    require_learned(method, found, "the teacher")
    require_maps(method, found, "the teacher", way_to_maps("teacher"))
    if found is teacher:
        found = sharing_weights(found)  # the caller's keeps its branches
    found.detach_branches(keep=method.needs)
    method.prepare_teacher(found)
    if not own.mapped:
        return found, size
    return MappedNetwork(found, match_classes(data.classes, theirs, len(theirs), own.class_map, "the teacher")), size
