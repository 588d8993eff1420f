"""What a distillation method is: its hyper-parameters, what it needs, and one call per training step."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, TypeVar

import msgspec
import numpy as np
from msgspec import Meta
from torch import Tensor

from ...runtime.config import Config
from ...runtime.errors import ConfigError
from ...runtime.registry import Registry
from ..losses import pal
from ..models import Classifier, TeacherModel
from ..models.output import ModelOutput
from .part import Branches, Part
from .supervised import Supervised, loss_of
from .term import Reduction, Term, Terms

T = TypeVar("T")

Protocol = Literal["paper", "code"]
WarmupEpochs: TypeAlias = Annotated[float, Meta(ge=0)]

_REDUCTION: dict[Protocol, Reduction] = {"paper": "batchmean", "code": "sum"}
"""What L2D's text and its authors' code do with the supervised loss: the scale that the lambdas are relative to."""


@dataclass(frozen=True)
class TrainingContext:
    """Where training stands, for methods whose weights follow a schedule.

    Attributes:
        epoch: epochs completed.
        step: optimiser steps completed.
        total_steps: optimiser steps of the whole run.
    """

    epoch: int
    step: int
    total_steps: int

    def warmed(self, terms: Terms, epochs: float) -> Terms:
        """Terms whose weight grows from 0 over so many epochs, in the first of which it is 0, as ReviewKD's authors do.

        Args:
            terms: at their full weight.
            epochs: a method's `warmup_epochs`; 0: none.
        """
        if self.epoch >= epochs:
            return terms
        return {name: term.times(self.epoch / epochs) for name, term in terms.items()}


class Method(Config):
    """Base of every method: an immutable struct of hyper-parameters that maps outputs to named loss terms.

    A method is a file in this folder with one class, registered by name in `METHODS`; its fields are the keys that a
    recipe's `method` section may hold.

    Attributes:
        came_later: hyper-parameters that other versions do not know, by the value that is what these computed.
        needs_teacher: whether a teacher's outputs are read.
        trains_teachers: whether its teachers are trained from sub-tasks of its own (see `subsets`); a recipe then has
            no `teacher:` section.
        asks_presence: whether a term beside the supervised ones asks which labels are present and which absent, so that
            it knows nothing of a mixed image's shares of labels.
        equations: paper, venue and equations.
        supervised: loss against the annotations, a name or a mapping of `name:` and its hyper-parameters; its term
            carries the name.
        lambda_calibration: weight of PAL-N on a calibration branch, beside the supervised loss of the logits that ship;
            UD (MM 2021) Eq. 12. Without a branch there is no such term.
    """

    came_later: ClassVar[dict[str, object]] = {"warmup_epochs": 0.0}
    needs_teacher: ClassVar[bool] = True
    trains_teachers: ClassVar[bool] = False
    asks_presence: ClassVar[bool] = False
    equations: ClassVar[str] = ""

    supervised: Supervised = "bce"
    lambda_calibration: Annotated[float, Meta(gt=0)] = 0.1

    @property
    def needs(self) -> frozenset[str]:
        """ModelOutput fields that student and teacher must fill beyond logits.

        Of `embeddings`, `pooled`, `stages`, `calibration_logits`, `attention`; of a merged teacher alone,
        `partition_logits`. Of the teacher nothing else is read, so that a cache holds no more than this. A constant of
        the class where no hyper-parameter decides it.
        """
        return frozenset()

    @property
    def reduction(self) -> Reduction:
        """Of the supervised loss over the batch: the scale that the other weights belong to."""
        return "batchmean"

    @property
    def learns_by(self) -> Supervised:
        """The loss of what learns from the annotations under this method, and of a baseline beside it."""
        return self.supervised

    @property
    def labelled(self) -> frozenset[str]:
        """ModelOutput fields that `supervised_terms` teaches by the annotations, where the student has them."""
        return frozenset({"logits", "embedding_logits", "calibration_logits"})

    def __call__(
        self, student: ModelOutput, teacher: ModelOutput | None, targets: Tensor, context: TrainingContext
    ) -> Terms:
        """Named, already weighted terms, whose sum is the training loss; each says itself how it is reduced.

        Args:
            student: outputs of the student, with a graph.
            teacher: outputs of the teacher for the same images; None when there is none.
            targets: int8 (B, C), 1 present, 0 absent, -1 unknown: in no term against the annotations. Terms that
                compare with the teacher class by class read `teacher.heard(targets)` instead.
            context: where training stands.

        Raises:
            ConfigError: the teacher, or what the method needs from it, is missing.
        """
        raise NotImplementedError

    def deciding(self) -> list[Any]:
        """As plain data, for a training's identity: without what came later and is left at its default."""
        plain = msgspec.to_builtins(self, str_keys=True)
        for key, as_before in self.came_later.items():
            if key in plain and plain[key] == as_before:
                del plain[key]
        return [type(self).__name__, plain]

    def build_part(self, student: Classifier, teacher: TeacherModel | None, size: tuple[int, int]) -> Part | None:
        """What training needs beside the student, with fresh weights: by default the branches for what it `needs`.

        Args:
            student: before its training; it stays as it is.
            teacher: the network that will teach it, or None.
            size: (height, width) of the images, in pixels.
        """
        branches = Branches(self.needs, student)
        return branches if branches.branches else None

    def prepare_teacher(self, teacher: TeacherModel) -> None:
        """Ask the teacher for what it computes on request only; before its first step, in every process."""

    def subsets(self, labels: np.ndarray, seed: int) -> dict[str, list[np.ndarray]]:
        """For a method that trains its own teachers: the partitions of the classes by name, each a list of subsets.

        A teacher of the student's architecture learns each subset; side by side, those of one partition make a teacher
        of all classes, whose logits are one row of `partition_logits`.

        Args:
            labels: int8 (N, C) of the training part, 1 present, 0 absent, -1 unknown.
            seed: of every draw.

        Returns:
            Class indices, int64, each class once in every partition.
        """
        raise NotImplementedError

    def partitioning(self) -> dict[str, Any]:
        """The hyper-parameters, by their names in a recipe, that decide the `subsets`."""
        return {}

    def supervised_terms(self, student: ModelOutput, targets: Tensor) -> Terms:
        """The supervised loss by its name, and what training-only branches learn from the annotations.

        `decoder_<name>` is the loss of a decoder beside the head, `calibration_pal` the PAL-N of a calibration branch.
        Without terms of their own they would stay random, and a later student would distil noise from them. What is
        not `labelled` has none; all have the method's `reduction`.
        """
        loss, labelled, reduction = loss_of(self.learns_by), self.labelled, self.reduction
        terms = {loss.name: Term(loss(student.logits, targets, reduction), reduction)} if "logits" in labelled else {}
        decoded = student.embedding_logits if "embedding_logits" in labelled else None
        if decoded is not None and decoded is not student.logits:
            terms[f"decoder_{loss.name}"] = Term(loss(decoded, targets, reduction), reduction)
        if student.calibration_logits is not None and "calibration_logits" in labelled:
            ranked = pal(student.calibration_logits, targets, reduction)
            terms["calibration_pal"] = Term(self.lambda_calibration * ranked, reduction)
        return terms


class ProtocolMethod(Method):
    """A method whose lambdas belong to a scale of the supervised loss.

    Attributes:
        protocol: `paper` divides the supervised loss by the batch size; `code` sums it over the batch, as L2D's authors
            do for every row of their tables, so that the same lambda weighs B times less.
    """

    protocol: Protocol = "paper"

    @property
    def reduction(self) -> Reduction:
        """That of the protocol."""
        return _REDUCTION[self.protocol]


METHODS: Registry[type[Method]] = Registry("method", __package__, "edgedistill.methods")


def require_teacher(teacher: T | None, method: str) -> T:
    """The teacher, or its outputs; raises ConfigError when there is none."""
    if teacher is None:
        raise ConfigError(f"method {method!r} distils from a teacher and none is given: name one, or use 'vanilla'.")
    return teacher


def require_pooled(output: ModelOutput, who: str, method: str) -> Tensor:
    """The pooled features (B, F) of `who`; raises ConfigError when there are none."""
    if output.pooled is None:
        raise ConfigError(
            f"method {method!r} relates pooled features and the {who} has none: its outputs must hold `pooled`, "
            "as those of every model built here do."
        )
    return output.pooled
