"""Instance-level multi-order label pair dependency distillation (MDKD's ID)."""

from collections.abc import Iterable

from torch import Tensor

from ._common import full_precision, require_same_shape
from .pair_dependencies import closed_forms


def instance_dependency(
    student_logits: Tensor,
    teacher_logits: Tensor,
    order: int,
    targets: Tensor | None = None,
) -> Tensor:
    """Disparity of the order-n label dependencies inside each image, unweighted.

    MDKD (MM 2024) Eq. 10-13: the dependency of labels k and l in image i is (y_ik - y_il)^2 of the predicted
    probabilities; order n averages it along a sequence of n distinct labels; Huber loss between teacher and student,
    mean over all sequences, mean over images (1/B). Exact for every order in O(BC): see `label_sequences`.
    Differentiable once.

    Args:
        student_logits: (B, C); the sigmoid is inside.
        teacher_logits: (B, C); receives no gradient.
        order: number of labels in a sequence, 2 or more; 0 is returned where it exceeds the number of classes.
        targets: (B, C); sequences through a negative (unknown) label are left out, and an image with fewer known labels
            than `order` contributes 0. None: all labels take part.

    Returns:
        A scalar in float32 (float64 for float64 logits).
    """
    return instance_dependencies(student_logits, teacher_logits, (order,), targets)[order]


@full_precision
def instance_dependencies(
    student_logits: Tensor,
    teacher_logits: Tensor,
    orders: Iterable[int],
    targets: Tensor | None = None,
) -> dict[int, Tensor]:
    """`instance_dependency` of several orders at the cost of one: they share their statistics."""
    require_same_shape(student_logits, teacher_logits)
    return closed_forms(student_logits, teacher_logits, targets, (), orders)[1]
