"""`toy_agree`: the student's logits should be as large as the teacher's."""

from typing import Annotated, ClassVar

from msgspec import Meta
from torch import Tensor

from edgedistill.distill.losses import mse
from edgedistill.distill.methods import Term, Terms
from edgedistill.distill.methods.base import METHODS, Method, TrainingContext, require_teacher
from edgedistill.distill.models.output import ModelOutput


@METHODS.register("toy_agree")
class ToyAgree(Method):
    """Supervised loss + lambda_agree * squared difference of the logits' absolute values.

    Attributes:
        lambda_agree: weight of the difference.
    """

    equations: ClassVar[str] = "none: an example"

    lambda_agree: Annotated[float, Meta(ge=0)] = 0.5

    def __call__(
        self, student: ModelOutput, teacher: ModelOutput | None, targets: Tensor, context: TrainingContext
    ) -> Terms:
        teacher = require_teacher(teacher, "toy_agree")
        return {
            **self.supervised_terms(student, targets),
            "agree": Term(self.lambda_agree * mse(student.logits.abs(), teacher.logits.abs(), targets)),
        }
