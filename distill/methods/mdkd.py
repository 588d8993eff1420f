"""MDKD: multi-order label pair dependency distillation."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from msgspec import Meta
from torch import Tensor

from ..losses import batch_and_instance_dependencies
from ..models.output import ModelOutput
from .base import METHODS, Method, TrainingContext, WarmupEpochs, require_teacher
from .mld import mld_term
from .term import Term, Terms

Weights = Annotated[float, Meta(ge=0)] | dict[int, Annotated[float, Meta(ge=0)]]


@METHODS.register("mdkd")
class MDKD(Method):
    """Supervised loss + lambda_mld MLD + sum over orders n of (lambda_bd BD_n + lambda_id ID_n); logits only.

    Attributes:
        lambda_mld: weight of MLD.
        max_order: highest order n; all orders from 2 to it take part, as far as there are so many classes.
        lambda_bd: weight of the batch-level terms: one number for all orders, or a mapping order -> weight that leaves
            out the orders it does not name.
        lambda_id: weight of the instance-level terms, likewise.
        warmup_epochs: over which the weights of BD and ID grow from 0; none in the paper.
        batch_dependency: `mean_square`, the text of the paper, or `squared_sum`, its Eq. 4 as printed.
        temperature: of MLD, whose T^2 keeps the size of the gradient; 1 in the paper.
    """

    came_later: ClassVar[dict[str, object]] = {**Method.came_later, "temperature": 1.0}
    equations: ClassVar[str] = "MDKD (MM 2024) Eq. 1-15"

    lambda_mld: Annotated[float, Meta(ge=0)] = 10.0
    max_order: Annotated[int, Meta(ge=2)] = 4
    lambda_bd: Weights = 1.0
    lambda_id: Weights = 1.0
    warmup_epochs: WarmupEpochs = 0.0
    batch_dependency: Literal["mean_square", "squared_sum"] = "mean_square"
    temperature: Annotated[float, Meta(gt=0)] = 1.0

    def __post_init__(self) -> None:
        for name, weights in (("lambda_bd", self.lambda_bd), ("lambda_id", self.lambda_id)):
            if isinstance(weights, Mapping):
                outside = [order for order in weights if not 2 <= order <= self.max_order]
                if outside:
                    raise ValueError(f"{name} names order {outside[0]}, outside 2..max_order ({self.max_order})")

    def __call__(
        self, student: ModelOutput, teacher: ModelOutput | None, targets: Tensor, context: TrainingContext
    ) -> Terms:
        """Terms: the supervised loss, `mld`, `bd2`.. and `id2`.. for every order of positive weight."""
        teacher = require_teacher(teacher, "mdkd")
        logits, taught, heard = student.logits, teacher.logits, teacher.heard(targets)
        batch_weights, image_weights = (
            self._per_order(weights, logits.shape[1]) for weights in (self.lambda_bd, self.lambda_id)
        )
        batch_terms, image_terms = batch_and_instance_dependencies(
            logits, taught, batch_weights, image_weights, targets=heard, form=self.batch_dependency
        )
        dependencies = {
            **{f"bd{n}": Term(batch_weights[n] * value, relates_images=True) for n, value in batch_terms.items()},
            **{f"id{n}": Term(image_weights[n] * value) for n, value in image_terms.items()},
        }
        return {
            **self.supervised_terms(student, targets),
            "mld": mld_term(student, teacher, targets, self.lambda_mld, self.temperature),
            **context.warmed(dependencies, self.warmup_epochs),
        }

    def _per_order(self, weights: float | dict[int, float], classes: int) -> dict[int, float]:
        if not isinstance(weights, Mapping):
            weights = dict.fromkeys(range(2, self.max_order + 1), weights)
        return {order: weight for order, weight in sorted(weights.items()) if weight > 0 and order <= classes}
