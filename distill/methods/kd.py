"""KD: knowledge distillation by softened probabilities."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta
from torch import Tensor

from ..losses import binary_kl, softmax_kl
from ..models.output import ModelOutput
from .base import METHODS, ProtocolMethod, TrainingContext, require_teacher
from .term import Term, Terms


@METHODS.register("kd")
class KD(ProtocolMethod):
    """The divergence of probabilities at a temperature: of one softmax over the classes, or of every class by itself.

    `softmax` is Hinton's: supervised loss + lambda_kd T^2 KL, one divergence per image, divided by the batch size. It
    treats labels as exclusive, so on several labels it is a baseline. `binary` is the "KD" row of UD: lambda_kd times
    Eq. 13 and nothing else, the binary KL of every class, averaged over the classes; unknown labels count as 0.

    Attributes:
        supervised: loss against the annotations; under `binary` only a training-only decoder and a baseline have it.
        form: `softmax` or `binary`.
        temperature: T. The default is UD's; the benchmarks of CRD and RKD take 4 for their softmaxes.
        lambda_kd: weight of the divergence.
        protocol: of `softmax`, whether the supervised loss is divided by the batch size (`paper`) or summed over it, as
            L2D's authors do (`code`). Of `binary`, whether Eq. 13 is averaged over images as printed (`paper`), or
            summed and multiplied by T^2 / 2, as UD's authors do (`code`).
    """

    equations: ClassVar[str] = "Hinton et al. (2015) Sec. 2; UD (MM 2021) Eq. 13, its KD row"

    form: Literal["softmax", "binary"] = "softmax"
    temperature: Annotated[float, Meta(gt=0)] = 3.0
    lambda_kd: Annotated[float, Meta(ge=0)] = 1.0

    @property
    def labelled(self) -> frozenset[str]:
        """Under `binary` not the head."""
        return super().labelled if self.form == "softmax" else super().labelled - {"logits"}

    def __call__(
        self, student: ModelOutput, teacher: ModelOutput | None, targets: Tensor, context: TrainingContext
    ) -> Terms:
        """Terms: `kd`; under `softmax` the supervised loss; in both forms what training-only branches learn by."""
        teacher = require_teacher(teacher, "kd")
        pair, heard = (student.logits, teacher.logits), teacher.heard(targets)
        terms = self.supervised_terms(student, targets)
        if self.form == "softmax":
            divergence = softmax_kl(*pair, heard, self.temperature)
            terms["kd"] = Term(self.lambda_kd * self.temperature**2 * divergence)
            return terms
        scale = self.temperature**2 / 2 if self.protocol == "code" else 1.0
        divergence = binary_kl(*pair, heard, self.temperature, self.reduction)
        terms["kd"] = Term(self.lambda_kd * scale * divergence, self.reduction)
        return terms
