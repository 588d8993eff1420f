"""Training without a teacher: the baseline of every comparison."""

from typing import ClassVar, Literal

from torch import Tensor

from ..models.output import ModelOutput
from .base import METHODS, Method, TrainingContext
from .term import Terms


@METHODS.register("vanilla")
class Vanilla(Method):
    """The supervised loss alone, summed over classes. With a calibration branch it is UD's training of a teacher.

    Attributes:
        reduction: over images, `batchmean` divides by the batch size; `sum` does not (CPSD Eq. 4).
    """

    needs_teacher: ClassVar[bool] = False
    equations: ClassVar[str] = "MDKD (MM 2024) Eq. 1; UD (MM 2021) Eq. 12 with a calibration branch"

    reduction: Literal["batchmean", "sum"] = "batchmean"

    def __call__(
        self, student: ModelOutput, teacher: ModelOutput | None, targets: Tensor, context: TrainingContext
    ) -> Terms:
        """Terms: the supervised loss."""
        return self.supervised_terms(student, targets)
