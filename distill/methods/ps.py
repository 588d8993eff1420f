"""PS: distillation by partial softmaxes."""

from typing import Annotated, ClassVar

from msgspec import Meta
from torch import Tensor

from ..losses import partial_softmax
from ..models.output import ModelOutput
from .base import METHODS, ProtocolMethod, TrainingContext, require_teacher
from .term import Term, Terms


@METHODS.register("ps")
class PS(ProtocolMethod):
    """Supervised loss + lambda_ps * KL divergence of the softmaxes over one positive and all negatives.

    Attributes:
        lambda_ps: weight of the divergence, which is summed over an image's positives and divided by the batch size;
            the default is that of L2D's authors.
        protocol: `paper` divides the supervised loss by the batch size too; `code` sums it over the batch, as L2D's
            authors do for every row of their tables.
    """

    asks_presence: ClassVar[bool] = True
    equations: ClassVar[str] = "UD (MM 2021) Eq. 10; the PS rows of L2D and MDKD"

    lambda_ps: Annotated[float, Meta(ge=0)] = 1.0

    def __call__(
        self, student: ModelOutput, teacher: ModelOutput | None, targets: Tensor, context: TrainingContext
    ) -> Terms:
        """Terms: the supervised loss, `ps`."""
        teacher = require_teacher(teacher, "ps")
        return {
            **self.supervised_terms(student, targets),
            "ps": Term(self.lambda_ps * partial_softmax(student.logits, teacher.logits, teacher.heard(targets))),
        }
