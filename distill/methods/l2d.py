"""L2D: multi-label logits distillation and label-wise embedding distillation."""

from typing import Annotated, ClassVar

from msgspec import Meta
from torch import Tensor

from ...runtime.errors import ConfigError
from ..losses import class_and_instance_aware, mld
from ..models.output import ModelOutput
from .base import METHODS, Protocol, ProtocolMethod, TrainingContext, require_teacher


@METHODS.register("l2d")
class L2D(ProtocolMethod):
    """Supervised loss + lambda_mld MLD + lambda_cd CD + lambda_id ID.

    CD and ID compare label-wise embeddings of an ML-Decoder, whose width may differ between teacher and student. Where
    the student's decoder is a training-only branch beside a linear head (our variant; the paper ships the decoder),
    the branch learns from its own supervised term, and MLD acts on the logits that ship.

    Attributes:
        lambda_mld: weight of MLD (summed over classes, divided by the batch size).
        lambda_cd: weight of the class-aware term.
        lambda_id: weight of the instance-aware term.
        protocol: `code` is the authors': supervised loss summed over the batch, distances normalised, the scale that
            the default weights belong to. `paper` is Eq. 3-9 as printed: supervised loss divided by the batch size,
            raw distances.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"embeddings"})
    equations: ClassVar[str] = "L2D (ICCV 2023) Eq. 3-9"

    lambda_mld: Annotated[float, Meta(ge=0)] = 10.0
    lambda_cd: Annotated[float, Meta(ge=0)] = 100.0
    lambda_id: Annotated[float, Meta(ge=0)] = 1000.0
    protocol: Protocol = "code"

    def __call__(
        self, student: ModelOutput, teacher: ModelOutput | None, targets: Tensor, context: TrainingContext
    ) -> dict[str, Tensor]:
        """Terms: the supervised loss, `decoder_<supervised>` for a training-only decoder, `mld`, `cd`, `id`."""
        teacher = require_teacher(teacher, "l2d")
        student_emb, teacher_emb = _embeddings(student, "student"), _embeddings(teacher, "teacher")
        terms = self.supervised_terms(student, targets, self.reduction)
        terms["mld"] = self.lambda_mld * mld(student.logits, teacher.logits, targets)
        class_term, image_term = class_and_instance_aware(student_emb, teacher_emb, targets, self.protocol)
        terms["cd"] = self.lambda_cd * class_term
        terms["id"] = self.lambda_id * image_term
        return terms

    def batch_terms(self) -> frozenset[str]:
        """`cd`."""
        return frozenset({"cd"})

    def summed_terms(self) -> frozenset[str]:
        """`id`; under `code` the supervised loss too."""
        return frozenset({"id"}) | super().summed_terms()


def _embeddings(output: ModelOutput, who: str) -> Tensor:
    if output.embeddings is None:
        raise ConfigError(
            f"method 'l2d' compares label-wise embeddings and the {who} has none: it needs an ML-Decoder head "
            "or branch that was trained with it."
        )
    return output.embeddings
