"""Instance-aware label-wise embedding distillation (ID)."""

from torch import Tensor

from ._common import without_autocast
from .label_structure import Protocol, _structure


@without_autocast
def instance_aware(
    student_emb: Tensor,
    teacher_emb: Tensor,
    targets: Tensor,
    protocol: Protocol = "code",
) -> Tensor:
    """Consistency of the distances between the embeddings of one image's labels, unweighted.

    L2D (ICCV 2023) Eq. 6-8. `paper`: Huber loss of the raw Euclidean distances, summed over ordered pairs and images.
    `code` (the authors'; lambda_ID = 1000 only makes sense here): each model's distances are first divided by their
    mean over the pairs of the image (the gradient flows through the student's mean), and each image's sum by its
    number of positives; a sum over images, not a mean. Two host syncs, and differentiable
    once: see `class_and_instance_aware`.

    Args:
        student_emb: label-wise embeddings (B, C, D).
        teacher_emb: (B, C, D'), any width; receives no gradient.
        targets: (B, C); only entries that are 1 take part, so absent and unknown labels do not.
        protocol: `code` or `paper`.

    Returns:
        A scalar in float32 (float64 for float64 embeddings); exactly 0, with a graph, where no image has two positives.
    """
    return _structure(student_emb, teacher_emb, targets, protocol, by_class=False, by_image=True)[1]
