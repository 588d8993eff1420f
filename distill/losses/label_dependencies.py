"""Both levels of MDKD's label pair dependencies at once."""

from collections.abc import Iterable

from torch import Tensor

from ._common import full_precision, require_same_shape
from .batch_dependency import Form, batch_dependencies, takes_matrix
from .instance_dependency import instance_dependencies
from .pair_dependencies import closed_forms


@full_precision
def batch_and_instance_dependencies(
    student_logits: Tensor,
    teacher_logits: Tensor,
    batch_orders: Iterable[int],
    instance_orders: Iterable[int],
    *,
    targets: Tensor | None = None,
    form: Form = "mean_square",
) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
    """`batch_dependencies` and `instance_dependencies`, where they share their probabilities in one pass.

    Equals the two calls; see `batch_dependency` and `instance_dependency` for the equations and the arguments.
    """
    require_same_shape(student_logits, teacher_logits)
    if form == "mean_square":
        if takes_matrix(student_logits, targets):
            return closed_forms(student_logits, teacher_logits, targets, batch_orders, instance_orders)
        targets = None  # none is unknown, see takes_matrix
    return (
        batch_dependencies(student_logits, teacher_logits, batch_orders, targets, form),
        instance_dependencies(student_logits, teacher_logits, instance_orders, targets),
    )
