"""A recipe at work: its data, its teacher, its baseline, its student, each trained once and resumable."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec
import numpy as np
import torch
from rich.console import Console

from ...runtime.datasets import Dataset
from ...runtime.errors import ConfigError
from ...runtime.preprocess import Preprocessing
from ...runtime.progress import counting
from ..checkpoint import ModelCard, Student, load_student, save_student
from ..data.materialize import materialize
from ..engine import Job, Outputs, TrainSettings, choose_device, current_world, fit, predict_logits
from ..engine.features import Features, predict_features
from ..engine.state import read_part
from ..engine.summary import is_finished
from ..engine.views_at_test import ViewAtTest
from ..methods import Method, labels_alone, without_warmup
from ..methods.base import require_maps
from ..models import Classifier, ModelSpec, ResizedInput, TeacherModel
from ..models.branches import branch_for
from ..models.folded import FoldedClassifier
from ..models.heads import HEADS
from ..recipe.loaded import LoadedRecipe
from ..recipe.normalisation import student_preprocessing, teacher_preprocessing
from ..recipe.schema import TeacherSpec
from ..recipe.start import refuse_another_network
from ..teacher_cache import CachedSource, ScoresSource, ScoreTable
from .continuing import continue_from, sharing_weights
from .jobs import Training, build_network, card_of, describe_job, resolved
from .outside import OutsideTeacher, open_outside, own_classes, with_our_classes
from .quality import Quality, identity_of, quality_of, require_quality, store_quality, stored_quality, tell
from .splits import Splits, open_splits
from .sub_teachers import MergedCheckpoint, SubTeachers

T = TypeVar("T")
Role = Literal["teacher", "baseline", "student", "int8"]
Teacher: TypeAlias = Student | MergedCheckpoint | OutsideTeacher
"""What can teach, and be evaluated."""
Teaches: TypeAlias = TeacherModel | ScoreTable


class Experiment:
    """Trains what a recipe describes, below its run folder.

    Args:
        loaded: the recipe.
        console: where progress is drawn.
    """

    def __init__(self, loaded: LoadedRecipe, console: Console) -> None:
        self.loaded, self.recipe, self.console = loaded, loaded.recipe, console
        self.folder = loaded.folder

    @cached_property
    def splits(self) -> Splits:
        """Reads indices and labels; opens no image and writes nothing.

        Raises:
            DataError: the splits' classes differ, or a file is wrong.
        """
        return open_splits(self.recipe.data, self.loaded.base, self.recipe.seed)

    @cached_property
    def test_files(self) -> Dataset:
        """The test split; one made in memory is written below the run folder, for devices without its generator."""
        test = self.splits.test
        if isinstance(test.images[0], np.ndarray):
            return self._once(lambda: materialize(test, self.folder / "test"))
        return test

    @cached_property
    def sub_teachers(self) -> SubTeachers:
        """Those that the recipe's method trains itself; ConfigError where it trains none."""
        return SubTeachers(self.loaded, self.splits, self.console)

    def teacher(self) -> Teacher | None:
        """The teacher: loaded, or trained first, and its validation mAP told; None when the recipe has none.

        Raises:
            ConfigError: it lacks what the method needs; the message says what trains it.
        """
        if self.loaded.method().trains_teachers:
            return self.sub_teachers.merged()
        spec = self.recipe.teacher
        if spec is None:
            return None
        if spec.train is not None:
            self._check_own_teacher(spec)
        teacher = self._given_teacher(spec) if spec.train is None else self._train("teacher", None)
        quality = self._quality(teacher)
        tell(quality, getattr(teacher, "says_nothing_of", None), self.console)
        if quality is None:
            return teacher
        card = msgspec.structs.replace(teacher.card, metrics={"mAP": quality.mAP, **teacher.card.metrics})
        return replace(teacher, card=card)

    def untrained_teacher(self) -> Teacher | None:
        """As `teacher`, but nothing is trained, judged or written: what is not trained yet is as it is built."""
        if self.loaded.method().trains_teachers:
            return self.sub_teachers.untrained()
        spec = self.recipe.teacher
        if spec is None:
            return None
        return self._given_teacher(spec) if spec.model is None else self._mapped(spec, self._built_teacher(spec))

    def _given_teacher(self, spec: TeacherSpec) -> Student | OutsideTeacher:
        """One that is not trained here."""
        if spec.outside is not None:
            opened = open_outside(self.loaded, spec, self.splits.train.classes)
            if isinstance(opened.model, ScoreTable) and self.loaded.method().needs_teacher:
                opened.model.require(self.splits.taught, self.recipe.data.max_bad_share)
            return opened
        if spec.checkpoint is None:
            return self._mapped(spec, self._adopted(self._built_teacher(spec)))
        teacher = load_student(self.loaded.resolve(spec.checkpoint))
        if spec.class_map is None:
            if set(teacher.card.classes) != set(self.splits.train.classes):
                raise ConfigError(
                    f"{teacher.path}: was trained on other classes than {self.splits.train.name} has: say which stand "
                    "for these by `teacher.class_map`."
                )
            if teacher.card.classes != self.splits.train.classes:
                raise ConfigError(f"{teacher.path}: has the classes in another order than {self.splits.train.name}.")
        self._check_teacher(teacher.card.model, str(teacher.path))
        card = msgspec.structs.replace(teacher.card, preprocessing=spec.input.of(teacher.card.preprocessing))
        self._tell_size(card.preprocessing, spec)
        return self._mapped(spec, replace(teacher, card=card))

    def _tell_size(self, learned: Preprocessing, spec: TeacherSpec) -> None:
        """Say where a checkpoint is shown other sizes than it learned from."""
        shown = self.recipe.input.preprocessing().size
        if spec.input.size is None and learned.size != shown:
            height, width = learned.size
            self.console.print(
                f"teacher: learned from images of {height}x{width} and is shown the student's {shown[0]}x{shown[1]}; "
                f"`teacher.input.size: [{height}, {width}]` resizes them.",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )

    def _built_teacher(self, spec: TeacherSpec) -> Student:
        assert spec.model is not None
        self._check_own_teacher(spec)
        if spec.train is not None and is_finished(job := self.training("teacher", None).job):
            return load_student(job.folder / job.checkpoint)
        model, card = self._build("teacher", spec.model)
        if spec.train is None and not model.head_is_pretrained:
            model, card = self._as_the_library_computes(spec.model)
        return Student(model.eval().requires_grad_(False), card, self.folder / "teacher" / "teacher.safetensors")

    def _mapped(self, spec: TeacherSpec, teacher: Student) -> Student | OutsideTeacher:
        """As a teacher of our classes, where it was trained on others."""
        if spec.class_map is None and teacher.card.classes == self.splits.train.classes:
            return teacher
        return with_our_classes(self.loaded, spec, teacher, self.splits.train.classes)

    def _adopted(self, teacher: Student) -> Student:
        """The user's own network as it is, with a card beside it."""
        if current_world().is_main:
            save_student(teacher.path, teacher.model, teacher.card)
        current_world().wait()
        return load_student(teacher.path)

    def _quality(self, teacher: Student | OutsideTeacher) -> Quality | None:
        """Its accuracy on the validation part, computed once; None where it says nothing of those images."""
        validation, world = self.splits.validation, current_world()
        if isinstance(teacher, OutsideTeacher) and not teacher.knows(validation):
            return None
        path = self.folder / "teacher" / "quality.json"
        of = identity_of(teacher.weights_sha256, teacher.card.preprocessing, validation.fingerprint())
        stored = world.gather(stored_quality(path, of))[0]
        if stored is None:
            stored = quality_of(self._predict(predict_logits, teacher, validation, "teacher", world=world), of)
            store_quality(path, stored, world)
        return stored

    def _start_of(self, training: Training) -> Quality | None:
        """What a student knows before its training; None where its head has learned nothing yet."""
        job, model = training.job, training.model
        if not model.head_is_pretrained:
            return None
        student = Student(model.eval(), job.card, job.folder)
        return quality_of(self._predict(predict_logits, student, job.validation, "student", world=current_world()))

    def baseline(self, teacher: Teacher | None = None) -> Student:
        """The student that only the labels teach: same start, supervised loss, order, augmentation and selection.

        Args:
            teacher: whose weights it continues where the student does (`student.start: teacher`); else not read.
        """
        return self._train("baseline", teacher)

    def student(self, teacher: Teacher | None) -> Student:
        """The student taught by the recipe's method; where the recipe says so, in int8 at the end."""
        if self.recipe.student.int8 is not None:
            self.untrained_student()  # what is no graph is told before it is trained in float
        training = self.require_good(teacher)
        student = self._fit(training)
        if self.recipe.student.int8 is None:
            return student
        return self._fit(self.int8_training(teacher, student, training.job))

    def require_good(self, teacher: Teacher | None) -> Training:
        """The student's training, of whose teacher more is known than the student knows; nothing is trained.

        Raises:
            ConfigError: it is no better than chance, or than the student before its training; not where the recipe
                accepts that, nor where the training has begun.
        """
        judged = None
        if isinstance(teacher, Student | OutsideTeacher) and not (self.recipe.teacher and self.recipe.teacher.accept):
            judged = self._quality(teacher)
        training = self.training("student", teacher)
        if judged is not None and training.teacher is not None and not training.job.last.is_file():
            require_quality(judged, self._start_of(training), self.loaded.where)
        return training

    def untrained_student(self) -> Classifier:
        """What `student` would give, before it has learned anything; nothing is written."""
        model, _ = self._build("student", self.recipe.student.model)
        model.eval()
        return model if self.recipe.student.int8 is None else FoldedClassifier(model)

    def int8_training(self, teacher: Teacher | None, student: Student, before: Job) -> Training:
        """What the training in int8 is that `student` goes through at the end, ready to start; nothing is written.

        Args:
            teacher: as `student`'s.
            student: that is continued.
            before: the training that it comes from; what the method added there goes on too, where it is kept.
        """
        spec, int8, method = self.recipe.student.model, self.loaded.int8(), without_warmup(self.loaded.method())
        assert int8 is not None
        taught_by = self._ready(method, teacher.model) if teacher is not None and method.needs_teacher else None
        source = self._source(taught_by)
        job = self._job("int8", spec, int8.settings, method, teacher=source, start=student.model)
        model = FoldedClassifier(student.model).round_to_int8()
        torch.manual_seed(self.recipe.seed)
        part = method.build_part(model, _network(taught_by), job.card.preprocessing.size)
        kept = None if part is None or not before.last.is_file() else read_part(before.last, before.identity)
        if part is not None and kept is not None:
            part.load_state_dict(kept)
            if part.adam_rate is not None:  # as far below its first rate as the student's is
                part.adam_rate *= int8.settings.lr / before.settings.lr
        return Training(job, model, source, part)

    def checkpoint(self, role: Role) -> Path:
        """Where the recipe's training of a role leaves its best weights."""
        folder = "int8" if role == "student" and self.recipe.student.int8 is not None else role
        return self.folder / folder / _file_of(role)

    def training(self, role: Role, teacher: Teacher | None) -> Training:
        """What `role`'s training is, ready to start; nothing is written.

        "teacher" is the recipe's; what a method trains itself `sub_teachers` describes. `teacher` teaches the student;
        where the student continues its weights, the baseline does too, untaught. "int8" continues the student, which is
        as it is built where it is not trained yet.
        """
        student = self.recipe.student
        if role == "teacher":
            own = self.recipe.teacher
            assert own is not None
            assert own.model is not None
            assert own.train is not None
            return self._describe(role, own.model, own.train, self.loaded.teacher_method(), None)
        if role == "int8":
            job, model, *_ = self.training("student", teacher)
            path = job.folder / job.checkpoint
            begun = load_student(path) if is_finished(job) else Student(model, job.card, path)
            return self.int8_training(teacher, begun, job)
        if role == "baseline":
            return self._describe(role, student.model, student.train, labels_alone(self.loaded.method()), teacher)
        return self._describe(role, student.model, student.train, self.loaded.method(), teacher)

    def test(self, student: Teacher, tta: Sequence[ViewAtTest] = ()) -> Outputs:
        """Logits of a checkpoint on the test split, in float32; DataError when its classes are others.

        With `tta` they are averaged over views of each image, see `views_at_test`.
        """
        return self._forward(partial(predict_logits, tta=tta), student, self.test_files)

    def predict(self, student: Teacher, dataset: Dataset) -> Outputs:
        """As `test`, on any split; nothing is written."""
        return self._forward(predict_logits, student, dataset)

    def features(self, student: Teacher) -> Features:
        """As `test`, with the pooled features of every image; ConfigError for a merged teacher, which has none."""
        return self._forward(predict_features, student, self.test_files)

    def _forward(self, predict: Callable[..., T], teacher: Teacher, dataset: Dataset) -> T:
        return self._predict(predict, teacher, dataset.with_classes(teacher.card.classes), "test")

    def _predict(self, predict: Callable[..., T], teacher: Teacher, dataset: Dataset, title: str, **options: Any) -> T:
        """On a data set of its classes; what a teacher says nothing of is taken for unknown there."""
        share = self.recipe.data.max_bad_share
        if isinstance(teacher.model, ScoreTable):
            return teacher.model.outputs(dataset)  # type: ignore[return-value]  # Outputs, of which logits are asked
        if isinstance(teacher, OutsideTeacher):
            dataset = teacher.judged(dataset)
        with counting(title, self.console) as progress:
            model = teacher.model.to(choose_device())
            outputs = predict(
                model, dataset, teacher.card.preprocessing, max_bad_share=share, progress=progress, **options
            )
        teacher.model.cpu()  # a Student is on the CPU, where export traces it
        return outputs

    def resolved(self) -> str:
        """The recipe with every default, as YAML."""
        return resolved(self.loaded)

    def _as_the_library_computes(self, spec: ModelSpec) -> tuple[Classifier, ModelCard]:
        """The user's own network with its own classifier, where that is more than one layer on pooled features.

        Raises:
            ConfigError: the weights file holds no classifier of the data's classes, or the recipe names another head.
        """
        where, train = self.loaded.where, "Add `teacher.train` to fine-tune it first."
        if spec.pretrained == "imagenet":
            raise ConfigError(f"{where}: `teacher.model.pretrained`: imagenet has other classes. {train}")
        if spec.head not in ("linear", "library"):
            raise ConfigError(
                f"{where}: `teacher.model.head: {spec.head}` is not the classifier that {spec.pretrained_path} was "
                f"trained with: `library` is. {train}"
            )
        if "/" not in spec.name:
            raise ConfigError(
                f"{where}: `teacher.model.pretrained`: {spec.pretrained_path} holds no linear classifier on pooled "
                f"features for the {len(self.splits.train.classes)} classes of {self.splits.train.name}. {train}"
            )
        model, card = self._build("teacher", msgspec.structs.replace(spec, head="library"))
        if not model.head_is_pretrained:
            raise ConfigError(
                f"{where}: `teacher.model.pretrained`: {spec.pretrained_path} holds no classifier of {spec.name} for "
                f"the {len(card.classes)} classes of {self.splits.train.name}. {train}"
            )
        return model, card

    def _build(self, role: Role, spec: ModelSpec) -> tuple[Classifier, ModelCard]:
        """A network, initialised from the recipe's seed or its weights file, and the card it will be saved with."""
        classes, teacher = self.splits.train.classes, self.recipe.teacher
        if role == "teacher" and teacher is not None:
            classes = own_classes(self.loaded, teacher) or classes
        card = card_of(self.loaded, spec, classes, self._preprocessing(role))
        return build_network(self.loaded, spec, card, self.recipe.seed, console=self.console), card

    def _preprocessing(self, role: Role) -> Preprocessing:
        return teacher_preprocessing(self.recipe) if role == "teacher" else student_preprocessing(self.recipe)

    def _train(self, role: Role, teacher: Teacher | None) -> Student:
        return self._fit(self.training(role, teacher))

    def _fit(self, training: Training) -> Student:
        job, model, taught_by, part = training
        return load_student(fit(job, model, taught_by, self.console, part))

    def _describe(
        self,
        role: Role,
        spec: ModelSpec,
        settings: TrainSettings,
        method: Method,
        teacher: Teacher | None,
    ) -> Training:
        taught_by: Teaches | None = teacher.model if teacher is not None and method.needs_teacher else None
        start: Any = None  # the network that the student continues
        if role != "teacher" and self.recipe.student.start == "teacher":
            assert teacher is not None
            start, card = teacher.model, teacher.card
            refuse_another_network(spec, self._preprocessing(role), card.model, card.preprocessing, self.loaded.where)
            # Of its branches the student continues those that teach nothing, too.
            taught_by = None if taught_by is None else sharing_weights(start)
        if taught_by is not None:
            taught_by = self._ready(method, taught_by)
        source = self._source(taught_by)
        job = self._job(role, spec, settings, method, teacher=source, start=start)
        model = build_network(self.loaded, spec, job.card, self.recipe.seed, console=self.console)
        require_maps(method, model, f"{self.loaded.where}: the {role}")
        part = method.build_part(model, _network(taught_by), job.card.preprocessing.size)
        if start is not None:
            continue_from(model, start, self.loaded.where)
            if part is not None:
                part.continue_from(start)
        return Training(job, model, source, part)

    def _ready(self, method: Method, teacher: Teaches) -> Teaches:
        """The teacher, as the method asks for it."""
        if isinstance(teacher, ScoreTable):
            return teacher
        require_maps(method, teacher, f"{self.loaded.where}: the teacher")
        teacher.detach_branches(keep=method.needs)  # nothing reads the others
        method.prepare_teacher(teacher)
        return teacher

    def _source(self, teacher: Teaches | None) -> CachedSource | ScoresSource | None:
        section = self.loaded.tasks() or self.recipe.teacher
        if teacher is None or isinstance(teacher, ScoreTable):
            return None if teacher is None else ScoresSource(teacher)
        own = self.recipe.teacher
        if own is not None and own.input.size is not None and not isinstance(teacher, ResizedInput):
            shown = own.input.of(self.recipe.input.preprocessing())
            teacher = ResizedInput(teacher, shown.size, shown.interpolation)
        return CachedSource(teacher, section.cache if section else None)

    def _job(
        self,
        role: Role,
        spec: ModelSpec,
        settings: TrainSettings,
        method: Method,
        *,
        teacher: CachedSource | ScoresSource | None,
        start: Classifier | None,
    ) -> Job:
        return describe_job(
            self.loaded,
            self.splits,
            title=role,
            folder=self.folder / role,
            checkpoint=_file_of(role),
            spec=spec,
            preprocessing=self._preprocessing(role),
            settings=settings,
            method=method,
            seed=self.recipe.seed,
            teacher=None if teacher is None else teacher.identity(),
            start=start,
        )

    def _once(self, write: Callable[[], T]) -> T:
        """Let rank 0 write files first; the others then find them written."""
        world = current_world()
        if not world.is_main:
            world.wait()
            return write()
        written = write()
        world.wait()
        return written

    def _check_own_teacher(self, teacher: TeacherSpec) -> None:
        assert teacher.model is not None
        self._check_teacher(teacher.model, "teacher.model")
        if teacher.train is None and teacher.model.branches:
            raise ConfigError(f"{self.loaded.where}: `teacher.model.branches` must be trained: add `teacher.train`.")

    def _check_teacher(self, spec: ModelSpec, where: str) -> None:
        method = self.loaded.method()
        for need in sorted(method.needs):
            branch = branch_for(need)
            if branch is not None and HEADS[spec.head].gives != need and branch not in spec.branches:
                raise ConfigError(
                    f"{where}: the method needs {need.replace('_', ' ')}, which this teacher was not trained with. Set "
                    f"`teacher.model.branches: [{branch}]` and run `edgedistill train {self.loaded.where}`."
                )


def _network(teacher: Teaches | None) -> TeacherModel | None:
    return None if isinstance(teacher, ScoreTable) else teacher


def _file_of(role: Role) -> str:
    return "teacher.safetensors" if role == "teacher" else "student.safetensors"
