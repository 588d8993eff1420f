"""CPSD: complementary parallel self-distillation."""

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from msgspec import Meta
from torch import Tensor

from ...runtime.errors import ConfigError
from ..data.partition import Kind, partition_labels
from ..losses import mse
from ..models.output import ModelOutput
from .base import METHODS, Method, Protocol, Supervised, TrainingContext, require_teacher
from .term import Reduction, Term, Terms

Partitions = Literal["co_dis", "co", "dis", "random", "none"]

_KINDS: dict[Partitions, tuple[Kind | Literal["whole"], ...]] = {
    "co_dis": ("co", "dis"),
    "co": ("co",),
    "dis": ("dis",),
    "random": ("random",),
    "none": ("whole",),
}


@METHODS.register("cpsd")
class CPSD(Method):
    """ASL + lambda_kd * the squared error to the merged logits of sub-task teachers, averaged over the partitions.

    The classes are split into k subsets twice: by what occurs together (CGP) and by what does not (DGP). A teacher of
    the student's own architecture learns each subset; side by side, those of one partition make a teacher of all
    classes. All sums run over classes and images; for the two partitions the average is the 1/2 of Eq. 6. The paper
    does not say how its ablations with one partition are weighted: here one teacher weighs as much as the two together.

    Attributes:
        supervised: loss against the annotations, summed; of the student, and of the sub-tasks' teachers.
        partitions: "co_dis" is CPSD; "co" (CGPD), "dis" (DGPD), "random" and "none" (one teacher of all classes: plain
            self-distillation) are the ablations of Table 3 and Figure 3.
        k: subsets per partition; "none" has no use for it, nor for `tau`.
        tau: root that smooths the co-occurrence probabilities; not read for "random".
        lambda_kd: weight of Eq. 6.
        protocol: `paper` is Eq. 7; `code` halves the whole loss, as the authors' does, so that weight decay and
            gradient clipping weigh twice as much.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"partition_logits"})
    trains_teachers: ClassVar[bool] = True
    equations: ClassVar[str] = "CPSD (IJCAI 2022) Eq. 1-7"

    supervised: Supervised = "asl"
    partitions: Partitions = "co_dis"
    k: Annotated[int, Meta(ge=1)] = 5
    tau: Annotated[float, Meta(gt=0)] = 3.0
    lambda_kd: Annotated[float, Meta(ge=0)] = 1.0
    protocol: Protocol = "paper"

    @property
    def reduction(self) -> Reduction:
        """A sum."""
        return "sum"

    def __call__(
        self, student: ModelOutput, teacher: ModelOutput | None, targets: Tensor, context: TrainingContext
    ) -> Terms:
        """Terms: the supervised loss, `kd_<kind>` for every partition, e.g. `kd_co` and `kd_dis`."""
        teacher, kinds = require_teacher(teacher, "cpsd"), _KINDS[self.partitions]
        if teacher.partition_logits is None or teacher.partition_logits.shape[1] != len(kinds):
            raise ConfigError(
                f"method 'cpsd' with `partitions: {self.partitions}` learns from the merged logits of {len(kinds)} "
                "partitions, which this teacher does not give: its teachers are trained from its own sub-tasks."
            )
        scale = 0.5 if self.protocol == "code" else 1.0
        terms = {name: term.times(scale) for name, term in self.supervised_terms(student, targets).items()}
        heard = teacher.heard(targets)
        for kind, merged in zip(kinds, teacher.partition_logits.unbind(1), strict=True):
            error = mse(student.logits, merged, heard, reduction="sum")
            terms[f"kd_{kind}"] = Term(scale * self.lambda_kd / len(kinds) * error, "sum")
        return terms

    def subsets(self, labels: np.ndarray, seed: int) -> dict[str, list[np.ndarray]]:
        """The class subsets of every partition, by its kind; each subset is a sub-task with a teacher of its own.

        Args:
            labels: int8 (N, C) of the training part, 1 present, 0 absent, -1 unknown.
            seed: of clustering and draw.

        Raises:
            ConfigError, DataError: see `partition_labels`.
        """
        return {
            kind: [np.arange(labels.shape[1])]
            if kind == "whole"
            else partition_labels(labels, self.k, kind, self.tau, seed)
            for kind in _KINDS[self.partitions]
        }

    def partitioning(self) -> dict[str, Any]:
        """All but the weights."""
        return {"partitions": self.partitions, "k": self.k, "tau": self.tau}
