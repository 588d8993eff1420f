"""Recipes: one YAML per experiment, the whole chain from data to benchmark."""

import hashlib
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ..runtime.config import Config, decode, decode_tagged
from ..runtime.errors import ConfigError
from ..runtime.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from ..runtime.targets import BenchPreset, Target, load_target
from .engine.settings import TrainSettings
from .methods import METHODS, Method
from .models import ModelSpec
from .overrides import Assignment, apply_assignments, find_mistaken, parse_assignment
from .packaged import read_content
from .paper_recipes import DATA_FOLDERS, Published
from .published import keep_published
from .recipe_check import check
from .tasks import TasksSpec

_VARIABLE = re.compile(r"\$\{(\w+)\}")


class DataSpec(Config):
    """Where images and labels come from.

    Attributes:
        train: a dataset: `format:` and that format's options.
        test: never used for any choice; accuracy and parity are reported on it.
        validation: share of `train` that selects epochs and thresholds, or a dataset of its own.
        max_bad_share: share of undecodable images at which a run stops instead of skipping them.
    """

    train: dict[str, Any]
    test: dict[str, Any]
    validation: float | dict[str, Any] = 0.1
    max_bad_share: Annotated[float, Meta(ge=0, le=1)] = 0.01


class InputSpec(Config):
    """How an image becomes the network's input; see runtime.preprocess.Preprocessing.

    Attributes:
        size: pixels of the square side, or [height, width].
        resize: "squash" or "center_crop".
        interpolation: "bilinear" or "bicubic".
        mean: per RGB channel in [0, 1] units.
        std: per RGB channel in [0, 1] units.
    """

    size: int | tuple[int, int] = 224
    resize: Literal["squash", "center_crop"] = "squash"
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def preprocessing(self) -> Preprocessing:
        """The record that travels with checkpoint and bundle."""
        size = (self.size, self.size) if isinstance(self.size, int) else self.size
        return Preprocessing(
            size=size, resize=self.resize, interpolation=self.interpolation, mean=self.mean, std=self.std
        )


class TeacherSpec(Config):
    """The teacher: a checkpoint of an earlier run, a network of one's own as it is, or one that is trained first.

    Attributes:
        checkpoint: a teacher.safetensors (or student.safetensors) of an earlier run.
        model: a network. Without `train`, its `pretrained` file must hold a linear classifier for exactly the data's
            classes, in the data's order; its validation mAP is printed, so that a wrong order shows.
        train: hyper-parameters of its training on the training part.
        method: what trains it, as the recipe's `method`, from labels alone; None is "vanilla", the mean of BCE.
        mean: the teacher's own normalisation, where it differs from the recipe's `input`.
        std: likewise.
        cache: whether its outputs on the training images are stored, once per view, and read instead of computed (in
            fp16, below the output folder, shared by runs); None: where an epoch would show a view again.
    """

    checkpoint: str | None = None
    model: ModelSpec | None = None
    train: TrainSettings | None = None
    method: str | dict[str, Any] | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    cache: bool | None = None

    def preprocessing(self, shared: Preprocessing) -> Preprocessing:
        """The recipe's, with the teacher's own normalisation where it has one."""
        return msgspec.structs.replace(shared, mean=self.mean or shared.mean, std=self.std or shared.std)


class Int8Spec(Config):
    """A last training of the student, in its deploy form and rounded as int8 runtimes compute it.

    Attributes:
        train: what differs from the student's training; what is not named there is 1 epoch, a tenth of the rate, and
            float32 beside the rounding.
    """

    train: dict[str, Any] = msgspec.field(default_factory=dict)

    def resolve(self, student: TrainSettings, *, where: str) -> "Int8Spec":
        """With every key of `train`; raises ConfigError for one that does not exist or has an impossible value."""
        own = {"epochs": 1, "schedule_epochs": None, "lr": student.lr / 10, "precision": "fp32"}
        merged = {**msgspec.to_builtins(student), **own, **self.train}
        settings = decode(merged, TrainSettings, where=where, prefix="student.int8.train")
        return msgspec.structs.replace(self, train=msgspec.to_builtins(settings))

    @property
    def settings(self) -> TrainSettings:
        """Hyper-parameters, once resolved."""
        return msgspec.convert(self.train, TrainSettings)


class StudentSpec(Config):
    """The network that ships, and how it is trained.

    Attributes:
        model: the network.
        train: hyper-parameters.
        int8: a last training in int8, by the same method and teacher; what ships is then its result. None: none.
        start: the weights that training begins with: "model", as `model` says, or "teacher", those of a teacher of the
            same network, which the student then continues (UD's self-distillation, one run with one restart).
    """

    model: ModelSpec
    train: TrainSettings
    int8: Int8Spec | None = None
    start: Literal["model", "teacher"] = "model"


class CalibrationSpec(Config):
    """What int8 targets are calibrated on.

    Attributes:
        images: training images that measure the ranges of activations, balanced over the classes.
        held_out: validation images at most, which select the calibrator and the layers that stay in float.
    """

    images: Annotated[int, Meta(ge=1)] = 512
    held_out: Annotated[int, Meta(ge=1)] = 1000


class ExportSpec(Config):
    """What is built from the student.

    Attributes:
        targets: packaged deploy configs by name, or paths of one's own.
        opset: ONNX's operator set that the graphs are written in; None is PyTorch's default.
        calibration: of int8 targets.
        outputs: what the graphs give beside logits and probabilities.
        thresholds: how each artifact's own are chosen on validation images: a probability such as 0.5, "best_f1",
            "precision=0.9" or "recall=0.8".
        validation_images: how many of them are used at most.
        selftest_images: how many test images travel with the bundle as proof.
        bench: preset of the benchmark; None takes each target's own.
    """

    targets: list[str] = msgspec.field(default_factory=lambda: ["onnxruntime-cpu-fp32"])
    opset: int | None = None
    calibration: CalibrationSpec = CalibrationSpec()
    outputs: list[Literal["embedding", "saliency"]] = []
    thresholds: float | str = "best_f1"
    validation_images: Annotated[int, Meta(ge=1)] = 2000
    selftest_images: Annotated[int, Meta(ge=0)] = 4
    bench: BenchPreset | None = None


class Recipe(Config):
    """One experiment.

    Attributes:
        name: of the run's folder.
        output: the folder that holds run folders.
        seed: of initialisation, order, augmentation and the validation split.
        data: images and labels.
        input: image file -> network input, the same for teacher and student.
        teacher: None trains the student on labels alone.
        student: the network that ships.
        method: a name, or a mapping of `name:` and the method's hyper-parameters.
        tasks: how a method that trains its own teachers does so; such a recipe has no `teacher`.
        baseline: also train the same student from the same start by its method's supervised loss alone, to show what
            distillation brings.
        export: what is built, verified and benchmarked.
        published: what papers print of this very experiment; decides nothing. Arguments that make it another one
            remove them.
    """

    name: str
    data: DataSpec
    student: StudentSpec
    output: str = "runs"
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0
    input: InputSpec = InputSpec()
    teacher: TeacherSpec | None = None
    method: str | dict[str, Any] = "vanilla"
    tasks: TasksSpec | None = None
    baseline: bool = False
    export: ExportSpec = ExportSpec()
    published: list[Published] = []


class LoadedRecipe(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe with the place it came from: relative paths in it are taken from `base`.

    Attributes:
        recipe: the decoded recipe.
        base: the file's folder; for a paper's recipe, which has no file, the current one.
        where: the file, or the name of a paper's recipe; for messages.
        assignments: the KEY=VALUE arguments that changed it, as typed.
    """

    recipe: Recipe
    base: Path
    where: str
    assignments: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return Path(self.recipe.output) / self.recipe.name

    def command(self, step: str) -> str:
        """The command line that runs a step of this very recipe, e.g. "train"; for messages."""
        return shlex.join(["edgedistill", step, self.where, *self.assignments])

    def method(self) -> Method:
        """The method with its hyper-parameters."""
        return decode_tagged(self.recipe.method, METHODS, tag="name", where=self.where, prefix="method")

    def teacher_method(self) -> Method:
        """What trains the recipe's own teacher."""
        assert self.recipe.teacher is not None
        chosen = self.recipe.teacher.method or "vanilla"
        return decode_tagged(chosen, METHODS, tag="name", where=self.where, prefix="teacher.method")

    @property
    def has_teacher(self) -> bool:
        """Whether a teacher comes before the student: the recipe's, or the method's own."""
        return self.recipe.teacher is not None or self.method().trains_teachers

    def tasks(self) -> TasksSpec | None:
        """How the method's own teachers are trained, with every default; None where it has none."""
        if not self.method().trains_teachers:
            return None
        return (self.recipe.tasks or TasksSpec()).resolve(self.recipe.student.train, where=self.where)

    def int8(self) -> Int8Spec | None:
        """The student's training in int8, with every default; None where it has none."""
        student = self.recipe.student
        return None if student.int8 is None else student.int8.resolve(student.train, where=self.where)

    def resolve(self, path: str) -> str:
        """A path in the recipe, taken from the recipe's folder when it is relative."""
        return str(self.base / Path(path).expanduser())

    def targets(self) -> list[Target]:
        """The deploy configs to export for."""
        return [
            load_target(self.resolve(name) if name.endswith((".yaml", ".yml")) else name)
            for name in self.recipe.export.targets
        ]

    def digest(self) -> str:
        """SHA-256 of the recipe; equal recipes have equal digests."""
        plain = msgspec.to_builtins(self.recipe, str_keys=True)  # a weight per order has whole numbers for keys
        return hashlib.sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()


def load_recipe(
    path: str | Path, overrides: dict[str, Any] | None = None, assignments: Sequence[str] = ()
) -> LoadedRecipe:
    """Read and check a recipe file, or a packaged one by name.

    Args:
        path: a .yaml file, or the name of a packaged recipe such as "demo".
        overrides: top-level keys that replace the file's.
        assignments: KEY=VALUE texts that change it further, e.g. "train.epochs=10"; see distill.overrides.

    Raises:
        ConfigError: names the file or the command line, the key and what is allowed.
    """
    content, where, base = read_content(path)
    content |= overrides or {}

    def attempt(chosen: Sequence[Assignment]) -> LoadedRecipe:
        changed = keep_published(content, apply_assignments(content, chosen))
        return build_recipe(changed, where, base, tuple(assignments))

    made = [parse_assignment(text) for text in assignments]
    try:
        return attempt(made)
    except ConfigError as error:
        mistaken = find_mistaken(made, attempt, error)
        if not mistaken or not str(error).startswith(where):
            raise
        typed = " ".join(assignment.text for assignment in mistaken)
        raise ConfigError(f"{where} with {typed} from the command line{str(error)[len(where) :]}") from None


def build_recipe(content: dict[str, Any], where: str, base: Path, assignments: tuple[str, ...] = ()) -> LoadedRecipe:
    """Check a recipe's plain data; the other arguments are those of `LoadedRecipe`.

    Raises:
        ConfigError: names `where`, the key and what is allowed.
    """
    recipe = decode(_expand(content, where), Recipe, where=where)
    loaded = LoadedRecipe(recipe=recipe, base=base, where=where, assignments=assignments)
    check(loaded)
    return loaded


def _expand(value: Any, where: str) -> Any:
    """Replace ${VARIABLE} in every string, so that a recipe can be shared without one machine's paths."""
    if isinstance(value, dict):
        return {key: _expand(entry, where) for key, entry in value.items()}
    if isinstance(value, list):
        return [_expand(entry, where) for entry in value]
    if not isinstance(value, str):
        return value
    unset = [name for name in _VARIABLE.findall(value) if name not in os.environ]
    if unset:
        what = f" It is {DATA_FOLDERS[unset[0]]}." if unset[0] in DATA_FOLDERS else ""
        raise ConfigError(f"{where}: the environment variable {unset[0]} is not set; `{value}` needs it.{what}")
    return _VARIABLE.sub(lambda found: os.environ[found.group(1)], value)
