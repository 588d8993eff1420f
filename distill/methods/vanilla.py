"""Training without a teacher: the baseline of every comparison."""

from typing import ClassVar

from torch import Tensor

from ..models.output import ModelOutput
from .base import METHODS, Method, TrainingContext


@METHODS.register("vanilla")
class Vanilla(Method):
    """The supervised loss alone, summed over classes and divided by the batch size."""

    needs_teacher: ClassVar[bool] = False
    equations: ClassVar[str] = "MDKD (MM 2024) Eq. 1"

    def __call__(
        self, student: ModelOutput, teacher: ModelOutput | None, targets: Tensor, context: TrainingContext
    ) -> dict[str, Tensor]:
        """Terms: the supervised loss."""
        return self.supervised_terms(student, targets, "batchmean")
