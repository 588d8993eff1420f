"""Distillation by the squared error of the logits."""

from typing import Annotated, ClassVar

from msgspec import Meta
from torch import Tensor

from ..losses import mse
from ..models.output import ModelOutput
from .base import METHODS, ProtocolMethod, TrainingContext, require_teacher
from .term import Term, Terms


@METHODS.register("mse")
class MSE(ProtocolMethod):
    """Supervised loss + lambda_mse * squared error of the logits, a sum over classes divided by the batch size.

    Attributes:
        lambda_mse: weight of the squared error; CPSD's two halves make 1 for a single teacher.
        protocol: `paper` divides the supervised loss by the batch size too; `code` sums it over the batch, as L2D's
            authors do for every row of their tables.
    """

    equations: ClassVar[str] = "CPSD (IJCAI 2022) Eq. 6 with one teacher; the MSE rows of L2D and MDKD"

    lambda_mse: Annotated[float, Meta(ge=0)] = 1.0

    def __call__(
        self, student: ModelOutput, teacher: ModelOutput | None, targets: Tensor, context: TrainingContext
    ) -> Terms:
        """Terms: the supervised loss, `mse`."""
        teacher = require_teacher(teacher, "mse")
        return {
            **self.supervised_terms(student, targets),
            "mse": Term(self.lambda_mse * mse(student.logits, teacher.logits, teacher.heard(targets))),
        }
