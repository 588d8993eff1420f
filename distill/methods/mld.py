"""Multi-label logits distillation."""

from typing import Annotated, ClassVar

from msgspec import Meta
from torch import Tensor

from ..losses import mld
from ..models.output import ModelOutput
from .base import METHODS, ProtocolMethod, TrainingContext, require_teacher


@METHODS.register("mld")
class MLD(ProtocolMethod):
    """Supervised loss + lambda_mld * binary KL divergence of every class.

    Attributes:
        lambda_mld: weight of MLD, which is summed over classes and divided by the batch size.
        protocol: `paper` divides the supervised loss by the batch size too (the MLD row of MDKD); `code` sums it over
            the batch, as L2D's authors do, so that the same lambda weighs B times less.
    """

    equations: ClassVar[str] = "L2D (ICCV 2023) Sec. 3.1; MDKD (MM 2024) Eq. 1-2"

    lambda_mld: Annotated[float, Meta(ge=0)] = 10.0

    def __call__(
        self, student: ModelOutput, teacher: ModelOutput | None, targets: Tensor, context: TrainingContext
    ) -> dict[str, Tensor]:
        """Terms: the supervised loss, `mld`."""
        teacher = require_teacher(teacher, "mld")
        return {
            **self.supervised_terms(student, targets, self.reduction),
            "mld": self.lambda_mld * mld(student.logits, teacher.logits, targets),
        }
