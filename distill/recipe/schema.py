"""What a recipe may say: one struct for each of its sections."""

import math
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ...runtime.config import Config, decode
from ...runtime.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from ...runtime.targets import BenchPreset
from ..engine.settings import TrainSettings
from ..engine.views_at_test import ViewAtTest
from ..models import ModelSpec
from ..models.outside import Scale
from .papers.published import Published

Images = Literal["all", "positive"]


class DataSpec(Config):
    """Where images and labels come from.

    Attributes:
        train: a dataset: `format:` and that format's options.
        test: never used for any choice; accuracy and parity are reported on it.
        validation: share of `train` that selects epochs and thresholds, or a dataset of its own.
        validation_seed: of the draw of that share; None takes the recipe's seed. Runs with other seeds that share it
            have the same training images, so that they can share a teacher that was trained once, and its stored
            outputs.
        unlabelled: photographs without labels (`format: folder`), which the teacher alone teaches the student: they
            join its training part, and no other; those that a split holds already are left out.
        unknown: what a teacher says where labels are unknown: `ignore` leaves its terms out there, `distil` takes them;
            None: `distil` where there are `unlabelled` photographs.
        max_bad_share: share of undecodable images at which a run stops instead of skipping them.
    """

    train: dict[str, Any]
    test: dict[str, Any]
    validation: float | dict[str, Any] = 0.1
    validation_seed: Annotated[int, Meta(ge=0)] | None = None
    unlabelled: dict[str, Any] | None = None
    unknown: Literal["ignore", "distil"] | None = None
    max_bad_share: Annotated[float, Meta(ge=0, le=1)] = 0.01

    @property
    def hears_unknown(self) -> Literal["ignore", "distil"]:
        """`unknown`, chosen."""
        return self.unknown or ("ignore" if self.unlabelled is None else "distil")

    def deciding(self, *, taught: bool) -> dict[str, Any]:
        """As plain data, for a training's identity; what a teacher says of unknown labels only where one is `taught`.

        The images themselves, of which `unlabelled` adds some and `validation_seed` chooses, an identity knows by what
        they hold.
        """
        plain = {**msgspec.to_builtins(self), "max_bad_share": None}
        del plain["unlabelled"], plain["unknown"], plain["validation_seed"]
        return plain | ({"unknown": "distil"} if taught and self.hears_unknown == "distil" else {})


class InputSpec(Config):
    """How an image becomes the network's input; see runtime.preprocess.Preprocessing.

    Attributes:
        size: pixels of the square side, or [height, width].
        resize: "squash" or "center_crop".
        interpolation: "bilinear" or "bicubic".
        mean: per RGB channel in [0, 1] units; None is each network's own: of pretrained timm/ and torchvision/ networks
            what their library says, else ImageNet's.
        std: likewise.
    """

    size: int | tuple[int, int] = 224
    resize: Literal["squash", "center_crop"] = "squash"
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        require_normalisation(self.mean, self.std)

    def preprocessing(self) -> Preprocessing:
        """Size and resizing, which all networks share; see `recipe.inputs` for what is each network's own."""
        size = (self.size, self.size) if isinstance(self.size, int) else self.size
        return Preprocessing(
            size=size,
            resize=self.resize,
            interpolation=self.interpolation,
            mean=self.mean or IMAGENET_MEAN,
            std=self.std or IMAGENET_STD,
        )


def require_normalisation(mean: tuple[float, ...] | None, std: tuple[float, ...] | None) -> None:
    """Raise ValueError for numbers by which no image can be normalised."""
    if mean is not None and not all(map(math.isfinite, mean)):
        raise ValueError(f"mean {list(mean)} needs finite numbers")
    if std is not None and not all(math.isfinite(channel) and channel > 0 for channel in std):
        raise ValueError(f"std {list(std)} needs finite numbers above 0")


class TeacherInput(Config):
    """How an image becomes the teacher's input, where that differs from the recipe's `input`.

    Attributes:
        size: pixels of the square side, or [height, width]. In a student's training the teacher is shown the student's
            view, resized to it.
        resize: see InputSpec; of the images that the teacher is trained and judged on.
        interpolation: see InputSpec; also of resizing the student's view.
        mean: see InputSpec.
        std: likewise.
    """

    size: int | tuple[int, int] | None = None
    resize: Literal["squash", "center_crop"] | None = None
    interpolation: Literal["bilinear", "bicubic"] | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        require_normalisation(self.mean, self.std)

    def of(self, shared: Preprocessing) -> Preprocessing:
        """`shared` with what is given here."""
        given = {key: value for key, value in msgspec.structs.asdict(self).items() if value is not None}
        if isinstance(self.size, int):
            given["size"] = (self.size, self.size)
        return msgspec.structs.replace(shared, **given)


class PerImage(Config):
    """How a teacher is asked once about each whole image, before the student's training.

    Attributes:
        size: pixels of the square side, or [height, width], that it is shown; None: its own. Larger than the student's
            input, it sees detail that no view of the student's has.
        tta: the views of each image whose mean logits are its word: "flip" and "crops", see `evaluate --tta`.
    """

    size: int | tuple[int, int] | None = None
    tta: tuple[ViewAtTest, ...] = ()

    def of(self, own: Preprocessing) -> Preprocessing:
        """Image file -> what the teacher is shown; `own` is its own."""
        size = (self.size, self.size) if isinstance(self.size, int) else self.size
        return own if size is None else msgspec.structs.replace(own, size=size)


class TeacherSpec(Config):
    """The teacher: a checkpoint, a network of one's own as it is or trained first, or whatever else scores images.

    Attributes:
        checkpoint: a teacher.safetensors (or student.safetensors) of an earlier run.
        onnx: a graph that takes images and gives one score per class, run by onnxruntime.
        callable: "package.module:function" of a function from uint8 images (B, H, W, 3) RGB of the teacher's size to
            scores (B, classes); modules beside the recipe are found.
        scores: a file of scores by image id (.npz, .parquet, .csv), which are the same for every view of an image.
        scale: what `onnx`, `callable` and `scores` give: "logits" or "probabilities" (clamped to [1e-6, 1 - 1e-6]).
        classes: the teacher's class names in the order of its scores, or a text file with one per line, where it does
            not say them itself.
        class_map: which of the teacher's classes stand for a class of the data, by its name: one or several, of which
            the highest score counts; or a YAML or JSON file that says so. A class that is not named here has the
            teacher's of the same name; one without any is not taught by the teacher.
        model: a network. Without `train`, its `pretrained` file must hold a linear classifier for exactly the data's
            classes, in the data's order; its validation mAP is printed, so that a wrong order shows.
        train: hyper-parameters of its training on the training part.
        method: what trains it, as the recipe's `method`, from labels alone; None is "vanilla", the mean of BCE.
        input: the teacher's own size and normalisation, where they are neither the recipe's `input` nor its library's.
        accept: let it teach whatever its validation mAP, which else must be better than chance, and than the student's
            before its training.
        per_image: ask it once about each whole image, and about no view of the student's: its word on the image, or on
            the mirrored one where `flip` mirrors the student's. For methods on logits; {} asks it as it is.
        cache: whether its outputs on the training images are stored, once per view, and read instead of computed (in
            fp16, below the output folder, shared by runs); None: where an epoch would show a view again.
    """

    checkpoint: str | None = None
    model: ModelSpec | None = None
    train: TrainSettings | None = None
    method: str | dict[str, Any] | None = None
    onnx: str | None = None
    callable: str | None = None
    scores: str | None = None
    scale: Scale | None = None
    classes: list[str] | str | None = None
    class_map: dict[str, str | int | list[str | int]] | str | None = None
    input: TeacherInput = TeacherInput()
    accept: bool = False
    per_image: PerImage | None = None
    cache: bool | None = None

    @property
    def outside(self) -> Literal["onnx", "callable", "scores"] | None:
        """Which of the keys that name no network of ours is given."""
        return next((key for key in ("onnx", "callable", "scores") if getattr(self, key) is not None), None)  # type: ignore[return-value]  # one of the three


class Int8Spec(Config):
    """A last training of the student, in its deploy form and rounded as int8 runtimes compute it.

    Attributes:
        train: what differs from the student's training; what is not named there is 1 epoch, a tenth of the rate,
            nothing frozen, no `swa`, and float32 beside the rounding.
    """

    train: dict[str, Any] = msgspec.field(default_factory=dict)

    def resolve(self, student: TrainSettings, *, where: str) -> "Int8Spec":
        """With every key of `train`; raises ConfigError for one that does not exist or has an impossible value."""
        given = msgspec.to_builtins(student)
        own: dict[str, Any] = {"epochs": 1, "schedule_epochs": None, "lr": student.lr / 10, "precision": "fp32"}
        own["swa"] = None
        own["parts"] = {name: {**part, "freeze_epochs": 0} for name, part in given["parts"].items()}
        merged = {**given, **own, **self.train}
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


class TasksSpec(Config):
    """The teachers that a method trains itself, one for each of its sub-tasks.

    Attributes:
        train: what differs from the student's training; without `epochs` they are 20, as CPSD
            (IJCAI 2022) trains them, and the schedule is laid out for its own epochs.
        images: what a sub-task learns from: `all` training images, as CPSD's code does, or those that are `positive`
            for one of its classes, as the text has it. Validation images are always all.
        cache: whether the merged outputs are stored, as `teacher.cache`.
        accept: let the merged teacher teach whatever its validation mAP, as `teacher.accept`.
    """

    train: dict[str, Any] = msgspec.field(default_factory=dict)
    images: Images = "all"
    cache: bool | None = None
    accept: bool = False

    def resolve(self, student: TrainSettings, *, where: str) -> "TasksSpec":
        """With every key of `train`; raises ConfigError for one that does not exist or has an impossible value."""
        merged = {**msgspec.to_builtins(student), "epochs": 20, "schedule_epochs": None, **self.train}
        settings = decode(merged, TrainSettings, where=where, prefix="tasks.train")
        return msgspec.structs.replace(self, train=msgspec.to_builtins(settings))

    @property
    def settings(self) -> TrainSettings:
        """Hyper-parameters of every sub-task's training, once resolved."""
        return msgspec.convert(self.train, TrainSettings)


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

    @property
    def method_name(self) -> str:
        """Without its hyper-parameters."""
        return self.method if isinstance(self.method, str) else str(self.method["name"])
