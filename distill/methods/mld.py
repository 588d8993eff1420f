"""Multi-label logits distillation."""

from typing import Annotated, ClassVar

from msgspec import Meta
from torch import Tensor

from ..losses import mld
from ..models.output import ModelOutput
from .base import METHODS, ProtocolMethod, TrainingContext, require_teacher
from .term import Term, Terms


@METHODS.register("mld")
class MLD(ProtocolMethod):
    """Supervised loss + lambda_mld T^2 * binary KL divergence of every class at the temperature T.

    The papers have T = 1. A teacher that fits its training images says little more there than the annotations do: on
    the built-in data T = 3 gains what T = 1 does not; on photographs T = 1 gained more (docs/which_method.md).

    Attributes:
        lambda_mld: weight of MLD, which is summed over classes and divided by the batch size.
        protocol: `paper` divides the supervised loss by the batch size too (the MLD row of MDKD); `code` sums it over
            the batch, as L2D's authors do, so that the same lambda weighs B times less.
        temperature: T; T^2 keeps the size of the gradient.
    """

    equations: ClassVar[str] = "L2D (ICCV 2023) Sec. 3.1; MDKD (MM 2024) Eq. 1-2"

    lambda_mld: Annotated[float, Meta(ge=0)] = 10.0
    temperature: Annotated[float, Meta(gt=0)] = 1.0

    def __call__(
        self, student: ModelOutput, teacher: ModelOutput | None, targets: Tensor, context: TrainingContext
    ) -> Terms:
        """Terms: the supervised loss, `mld`."""
        teacher = require_teacher(teacher, "mld")
        return {
            **self.supervised_terms(student, targets),
            "mld": mld_term(student, teacher, targets, self.lambda_mld, self.temperature),
        }


def mld_term(
    student: ModelOutput, teacher: ModelOutput, targets: Tensor, weight: float, temperature: float = 1.0
) -> Term:
    """`weight` T^2 * binary KL divergence of every class at the temperature T, summed over classes.

    Args:
        student: its logits (B, C).
        teacher: likewise.
        targets: int8 (B, C).
        weight: lambda.
        temperature: T.
    """
    divergence = mld(student.logits / temperature, teacher.logits / temperature, teacher.heard(targets))
    return Term(weight * temperature**2 * divergence)
