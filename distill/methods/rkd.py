"""RKD: relational knowledge distillation."""

from typing import Annotated, ClassVar

from msgspec import Meta
from torch import Tensor

from ..losses import rkd_angle, rkd_distance
from ..models.output import ModelOutput
from .base import METHODS, Protocol, ProtocolMethod, TrainingContext, WarmupEpochs, require_pooled, require_teacher
from .term import Term, Terms


@METHODS.register("rkd")
class RKD(ProtocolMethod):
    """Supervised loss + lambda_distance RKD-D + lambda_angle RKD-A on the pooled features.

    The defaults are those of L2D's authors, the only ones published for several labels an image. RKD's own for
    classification (CRD's benchmark, ICLR 2020, batch 64) are `protocol: paper`, lambda_distance 25 and lambda_angle 50:
    from nothing, the labels then have a quarter of the gradient (docs/which_method.md).

    Attributes:
        lambda_distance: weight of the distance-wise term; 0 leaves it out.
        lambda_angle: weight of the angle-wise term, whose cost grows with the cube of the batch; 0 leaves it out.
        warmup_epochs: over which the weights of both grow from 0; none in the paper.
        protocol: `paper` takes every mean as RKD's authors do, the supervised loss divided by the batch size. `code`,
            that of L2D's authors, sums the supervised loss over the batch and divides the distance-wise term by B
            instead of B^2.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"pooled"})
    equations: ClassVar[str] = "RKD (CVPR 2019) Sec. 3.2; the RKD rows of L2D and MDKD"

    lambda_distance: Annotated[float, Meta(ge=0)] = 10.0
    lambda_angle: Annotated[float, Meta(ge=0)] = 10.0
    warmup_epochs: WarmupEpochs = 0.0
    protocol: Protocol = "code"

    def __call__(
        self, student: ModelOutput, teacher: ModelOutput | None, targets: Tensor, context: TrainingContext
    ) -> Terms:
        """Terms: the supervised loss, `rkd_distance` and `rkd_angle` where their weight is positive."""
        teacher = require_teacher(teacher, "rkd")
        pair = require_pooled(student, "student", "rkd"), require_pooled(teacher, "teacher", "rkd")
        relations: Terms = {}
        if self.lambda_distance > 0:
            scale = len(targets) if self.protocol == "code" else 1
            distance = scale * self.lambda_distance * rkd_distance(*pair)
            relations["rkd_distance"] = Term(distance, relates_images=True)
        if self.lambda_angle > 0:
            relations["rkd_angle"] = Term(self.lambda_angle * rkd_angle(*pair), relates_images=True)
        return {**self.supervised_terms(student, targets), **context.warmed(relations, self.warmup_epochs)}
