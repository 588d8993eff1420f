"""A recipe at work: its data, its teacher, its baseline, its student, each trained once and resumable."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
from rich.console import Console

from ...runtime.datasets import Dataset
from ..checkpoint import Student, load_student
from ..data.materialize import materialize
from ..engine import Outputs, current_world, fit, predict_logits
from ..engine.features import Features, predict_features
from ..engine.summary import is_finished
from ..engine.views_at_test import ViewAtTest
from ..models import Classifier
from ..models.folded import FoldedClassifier
from ..recipe.inputs import student_preprocessing
from ..recipe.loaded import LoadedRecipe
from .jobs import Training, build_network, card_of, resolved
from .outside import OutsideTeacher
from .predicting import predict
from .quality import Quality, identity_of, quality_of, require_quality, store_quality, stored_quality, tell
from .splits import Splits, open_splits
from .sub_teachers import MergedCheckpoint, SubTeachers
from .teachers import Teacher, build_teacher, of_our_classes, open_given, require_branches
from .trainings import Role, Trainings, checkpoint_file

T = TypeVar("T")


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
            return _once(lambda: materialize(test, self.folder / "test"))
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
        teacher = self._open_or_train_teacher()
        if teacher is None:
            return None
        quality = self._quality(teacher)
        tell(quality, getattr(teacher, "says_nothing_of", None), self.console)
        if quality is None:
            return teacher
        card = msgspec.structs.replace(teacher.card, metrics={"mAP": quality.mAP, **teacher.card.metrics})
        return replace(teacher, card=card)

    def _open_or_train_teacher(self) -> Teacher | None:
        if self.loaded.method().trains_teachers:
            return self.sub_teachers.merged()
        spec = self.recipe.teacher
        if spec is None:
            return None
        if spec.train is None:
            return open_given(self.loaded, spec, self.splits, self.console)
        require_branches(self.loaded, spec)
        return self._fit(self.training("teacher", None))

    def untrained_teacher(self) -> Teacher | None:
        """As `teacher`, but nothing is trained, judged or written: what is not trained yet is as it is built."""
        if self.loaded.method().trains_teachers:
            return self.sub_teachers.untrained()
        spec = self.recipe.teacher
        if spec is None:
            return None
        if spec.model is None:
            return open_given(self.loaded, spec, self.splits, self.console)
        if spec.train is not None:
            require_branches(self.loaded, spec)
            if is_finished(job := self.training("teacher", None).job):
                return load_student(job.folder / job.checkpoint)
        return of_our_classes(
            self.loaded, spec, build_teacher(self.loaded, spec, self.splits, self.console), self.splits
        )

    def baseline(self, teacher: Teacher | None = None) -> Student:
        """The student that only the labels teach: same start, supervised loss, order, augmentation and selection.

        Args:
            teacher: whose weights it continues where the student does (`student.start: teacher`); else not read.
        """
        return self._fit(self.training("baseline", teacher))

    def student(self, teacher: Teacher | None) -> Student:
        """The student taught by the recipe's method; where the recipe says so, in int8 at the end."""
        if self.recipe.student.int8 is not None:
            self.require_student()  # what is no graph is told before it is trained in float
        training = self.require_good(teacher)
        student = self._fit(training)
        if self.recipe.student.int8 is None:
            return student
        return self._fit(self._trainings.int8(teacher, student, training.job))

    def require_good(self, teacher: Teacher | None) -> Training:
        """The student's training, of whose teacher more is known than the student knows; nothing is trained.

        Raises:
            ConfigError: it is no better than chance, or than the student before its training; not where the recipe
                accepts that, nor where the training has begun.
        """
        key = "tasks.accept" if isinstance(teacher, MergedCheckpoint) else "teacher.accept"
        judged = None if teacher is None or self._accepts(teacher) else self._quality(teacher)
        training = self.training("student", teacher)
        if judged is not None and training.teacher is not None and not training.job.last.is_file():
            require_quality(judged, self._start_of(training), self.loaded.where, f"{key}: true")
        return training

    def require_student(self) -> None:
        """Build the student once, so that what is wrong with it is told before its teacher is trained.

        Raises:
            CheckpointError: the weights that it starts from cannot be had here.
            ConfigError: it is to end in int8, and is no graph.
        """
        if not self.checkpoint("student").is_file():  # else it was built before
            self.untrained_student()

    def untrained_student(self) -> Classifier:
        """What `student` would give, before it has learned anything; nothing is written.

        Raises:
            CheckpointError: the weights that it starts from cannot be had here.
            ConfigError: it is to end in int8, and is no graph.
        """
        spec, classes = self.recipe.student.model, self.splits.train.classes
        card = card_of(self.loaded, spec, classes, student_preprocessing(self.recipe))
        model = build_network(self.loaded, spec, card, self.recipe.seed, console=self.console).eval()
        return model if self.recipe.student.int8 is None else FoldedClassifier(model)

    def checkpoint(self, role: Role) -> Path:
        """Where the recipe's training of a role leaves its best weights."""
        folder = "int8" if role == "student" and self.recipe.student.int8 is not None else role
        return self.folder / folder / checkpoint_file(role)

    def training(self, role: Role, teacher: Teacher | None) -> Training:
        """What `role`'s training is, ready to start; nothing is written.

        "teacher" is the recipe's; what a method trains itself `sub_teachers` describes. `teacher` teaches the student;
        where the student continues its weights, the baseline does too, untaught. "int8" continues the student, which is
        as it is built where it is not trained yet.
        """
        if role == "teacher":
            return self._trainings.teacher()
        if role == "baseline":
            return self._trainings.baseline(teacher)
        training = self._trainings.student(teacher)
        if role == "student":
            return training
        job, model, *_ = training
        path = job.folder / job.checkpoint
        begun = load_student(path) if is_finished(job) else Student(model, job.card, path)
        return self._trainings.int8(teacher, begun, job)

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

    def resolved(self) -> str:
        """The recipe with every default, as YAML."""
        return resolved(self.loaded)

    @property
    def _trainings(self) -> Trainings:
        return Trainings(self.loaded, self.splits, self.console)

    def _fit(self, training: Training) -> Student:
        job, model, taught_by, part = training
        return load_student(fit(job, model, taught_by, self.console, part))

    def _forward(self, forward: Callable[..., T], teacher: Teacher, dataset: Dataset) -> T:
        share = self.recipe.data.max_bad_share
        dataset = dataset.with_classes(teacher.card.classes)
        return predict(forward, teacher, dataset, "test", max_bad_share=share, console=self.console)

    def _accepts(self, teacher: Teacher) -> bool:
        """Whether the recipe lets it teach however good it is."""
        section = self.recipe.tasks if isinstance(teacher, MergedCheckpoint) else self.recipe.teacher
        return section is not None and section.accept

    def _quality(self, teacher: Teacher) -> Quality | None:
        """Its accuracy on the validation part, asked as it teaches, computed once; None where it says nothing of it."""
        validation, world = self.splits.validation, current_world()
        if isinstance(teacher, OutsideTeacher) and not teacher.knows(validation):
            return None
        path = self.folder / ("tasks" if isinstance(teacher, MergedCheckpoint) else "teacher") / "quality.json"
        tta: tuple[ViewAtTest, ...] = ()
        if self.recipe.teacher is not None and self.recipe.teacher.per_image is not None:
            asked = self.recipe.teacher.per_image
            shown, tta = asked.of(teacher.card.preprocessing), asked.tta
            self._trainings.require_asked_size(teacher.model, shown, teacher.card.model.name)
            teacher = replace(teacher, card=msgspec.structs.replace(teacher.card, preprocessing=shown))
        of = identity_of(teacher.weights_sha256, teacher.card.preprocessing, validation.fingerprint(), *tta)
        stored = world.gather(stored_quality(path, of))[0]
        if stored is None:
            stored = quality_of(self._validated(teacher, validation, "teacher", tta), of)
            store_quality(path, stored, world)
        return stored

    def _start_of(self, training: Training) -> Quality | None:
        """What a student knows before its training; None where its head has learned nothing yet."""
        job, model = training.job, training.model
        if not model.head_is_pretrained:
            return None
        return quality_of(self._validated(Student(model.eval(), job.card, job.folder), job.validation, "student"))

    def _validated(self, teacher: Teacher, validation: Dataset, title: str, tta: Sequence[ViewAtTest] = ()) -> Outputs:
        share, world = self.recipe.data.max_bad_share, current_world()
        return predict(
            predict_logits, teacher, validation, title, max_bad_share=share, console=self.console, world=world, tta=tta
        )


def _once(write: Callable[[], T]) -> T:
    """Let rank 0 write files first; the others then find them written."""
    world = current_world()
    if not world.is_main:
        world.wait()
        return write()
    written = write()
    world.wait()
    return written
