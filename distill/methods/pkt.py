"""PKT: probabilistic knowledge transfer."""

from typing import Annotated, ClassVar

from msgspec import Meta
from torch import Tensor

from ..losses import pkt
from ..models.output import ModelOutput
from .base import METHODS, ProtocolMethod, TrainingContext, WarmupEpochs, require_pooled, require_teacher
from .term import Term, Terms


@METHODS.register("pkt")
class PKT(ProtocolMethod):
    """Supervised loss + lambda_pkt PKT on the pooled features.

    Attributes:
        lambda_pkt: weight; the default is that of CRD's benchmark (ICLR 2020, authors' code), at a batch of 64: PKT
            shrinks with the batch. L2D and MDKD do not say theirs.
        warmup_epochs: over which the weight of PKT grows from 0; none in the paper.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"pooled"})
    equations: ClassVar[str] = "PKT (ECCV 2018) Sec. 3; the PKT rows of L2D and MDKD"

    lambda_pkt: Annotated[float, Meta(ge=0)] = 30000.0
    warmup_epochs: WarmupEpochs = 0.0

    def __call__(
        self, student: ModelOutput, teacher: ModelOutput | None, targets: Tensor, context: TrainingContext
    ) -> Terms:
        """Terms: the supervised loss, `pkt`."""
        teacher = require_teacher(teacher, "pkt")
        pair = require_pooled(student, "student", "pkt"), require_pooled(teacher, "teacher", "pkt")
        return {
            **self.supervised_terms(student, targets),
            **context.warmed({"pkt": Term(self.lambda_pkt * pkt(*pair), relates_images=True)}, self.warmup_epochs),
        }
