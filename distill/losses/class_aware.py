"""Class-aware label-wise embedding distillation (CD)."""

from torch import Tensor

from ._common import without_autocast
from .label_structure import Protocol, _structure


@without_autocast
def class_aware(
    student_emb: Tensor,
    teacher_emb: Tensor,
    targets: Tensor,
    protocol: Protocol = "code",
) -> Tensor:
    """Consistency of the distances between one class's embeddings in different images, unweighted.

    L2D (ICCV 2023) Eq. 4-6. `paper`: Huber loss of the raw Euclidean distances, summed over ordered pairs and classes.
    `code` (the authors'; lambda_CD = 100 only makes sense here): each model's distances are first divided by their
    mean over the pairs of the class (the gradient flows through the student's mean), and each class's sum by its
    number of positives. Relations are those within the local batch. Two host syncs, and differentiable
    once: see `class_and_instance_aware`.

    Args:
        student_emb: label-wise embeddings (B, C, D).
        teacher_emb: (B, C, D'), any width; receives no gradient.
        targets: (B, C); only entries that are 1 take part, so absent and unknown labels do not.
        protocol: `code` or `paper`.

    Returns:
        A scalar in float32 (float64 for float64 embeddings); exactly 0, with a graph, where no class has two positives.
    """
    return _structure(student_emb, teacher_emb, targets, protocol, by_class=True, by_image=False)[0]
