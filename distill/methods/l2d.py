"""L2D: multi-label logits distillation and label-wise embedding distillation."""

from typing import Annotated, ClassVar

from msgspec import Meta
from torch import Tensor

from ...runtime.errors import ConfigError
from ..losses import class_and_instance_aware, class_aware, instance_aware
from ..models import Classifier, TeacherModel
from ..models.heads import HEADS
from ..models.output import ModelOutput
from .base import METHODS, Protocol, ProtocolMethod, TrainingContext, WarmupEpochs, require_teacher
from .mld import mld_term
from .part import Branches, Part
from .term import Term, Terms

_DECODER_RATE = 1e-4  # L2D, "Implementation Details": Adam, OneCycle's peak


@METHODS.register("l2d")
class L2D(ProtocolMethod):
    """Supervised loss + lambda_mld MLD + lambda_cd CD + lambda_id ID.

    CD and ID compare label-wise embeddings, whose width may differ between teacher and student: those of a head that
    embeds every class (the paper's is an ML-Decoder), or of an ML-Decoder as a training-only branch beside a linear
    head. That branch of a student, our variant, learns from its own supervised term, and MLD acts on the logits that
    ship.

    Attributes:
        lambda_mld: weight of MLD (summed over classes, divided by the batch size).
        lambda_cd: weight of the class-aware term; 0 leaves it out.
        lambda_id: weight of the instance-aware term; 0 leaves it out, and without both no embeddings are needed.
        warmup_epochs: over which the weights of CD and ID grow from 0; none in the paper.
        protocol: `code` is the authors': supervised loss summed over the batch, distances normalised, the scale that
            the default weights belong to. `paper` is Eq. 3-9 as printed: supervised loss divided by the batch size,
            raw distances.
        temperature: of MLD, whose T^2 keeps the size of the gradient; 1 in the paper.
    """

    came_later: ClassVar[dict[str, object]] = {**ProtocolMethod.came_later, "temperature": 1.0}
    equations: ClassVar[str] = "L2D (ICCV 2023) Eq. 3-9"

    lambda_mld: Annotated[float, Meta(ge=0)] = 10.0
    lambda_cd: Annotated[float, Meta(ge=0)] = 100.0
    lambda_id: Annotated[float, Meta(ge=0)] = 1000.0
    warmup_epochs: WarmupEpochs = 0.0
    protocol: Protocol = "code"
    temperature: Annotated[float, Meta(gt=0)] = 1.0

    @property
    def needs(self) -> frozenset[str]:
        """Embeddings, for a term of positive weight."""
        return frozenset({"embeddings"} if self.lambda_cd or self.lambda_id else ())

    def __call__(
        self, student: ModelOutput, teacher: ModelOutput | None, targets: Tensor, context: TrainingContext
    ) -> Terms:
        """Terms: the supervised loss, `decoder_<supervised>` for a training-only decoder, `mld`, `cd` and `id` where
        their weight is positive.
        """
        teacher = require_teacher(teacher, "l2d")
        terms = self.supervised_terms(student, targets)
        terms["mld"] = mld_term(student, teacher, targets, self.lambda_mld, self.temperature)
        if self.needs:
            embeddings = _embeddings(student, "student"), _embeddings(teacher, "teacher")
            terms |= context.warmed(self._structure(*embeddings, targets), self.warmup_epochs)
        return terms

    def build_part(self, student: Classifier, teacher: TeacherModel | None, size: tuple[int, int]) -> Part | None:
        """The decoder, at its authors' rate: at one that suits a small network trained from nothing it learns nothing,
        and its distances pull that network apart (docs/which_method.md).
        """
        part = super().build_part(student, teacher, size)
        if part is None and "ml_decoder" in student.branches:
            part = Branches((), student)  # which says the rate of the student's own
        if part is not None:
            part.adam_rate = _DECODER_RATE
        return part

    def _structure(self, student_emb: Tensor, teacher_emb: Tensor, targets: Tensor) -> Terms:
        given = student_emb, teacher_emb, targets, self.protocol
        if self.lambda_cd and self.lambda_id:
            class_term, image_term = class_and_instance_aware(*given)  # one pass for both
            return {**self._of_classes(class_term), **self._of_images(image_term)}
        if self.lambda_cd:
            return self._of_classes(class_aware(*given))
        return self._of_images(instance_aware(*given))

    def _of_classes(self, value: Tensor) -> Terms:
        return {"cd": Term(self.lambda_cd * value, relates_images=True)}

    def _of_images(self, value: Tensor) -> Terms:
        return {"id": Term(self.lambda_id * value, "sum")}


def _embeddings(output: ModelOutput, who: str) -> Tensor:
    if output.embeddings is None:
        embedding = ", ".join(name for name, head in HEADS.items() if head.gives == "embeddings")
        raise ConfigError(
            f"method 'l2d' compares label-wise embeddings and the {who} has none: it needs a head that embeds every "
            f"class ({embedding}), or the branch `ml_decoder`, trained with it."
        )
    return output.embeddings
