"""L2D's two terms: class-aware (CD) and instance-aware (ID) label-wise embedding distillation."""

from torch import Tensor

from .._common import without_autocast
from .structure import Protocol, compare_structures


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
    return compare_structures(student_emb, teacher_emb, targets, protocol, by_class=True, by_image=False)[0]


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
    return compare_structures(student_emb, teacher_emb, targets, protocol, by_class=False, by_image=True)[1]


@without_autocast
def class_and_instance_aware(
    student_emb: Tensor,
    teacher_emb: Tensor,
    targets: Tensor,
    protocol: Protocol = "code",
) -> tuple[Tensor, Tensor]:
    """L2D's class-aware (CD) and instance-aware (ID) terms in one pass over the positives, unweighted.

    Equals `(class_aware(...), instance_aware(...))`; see there for the equations and the reduction. Only
    the P positives enter: distances cost D for each of their pairs, and which pairs share a class or an image is one
    comparison of all, P^2 booleans and, for the gradient, P^2 numbers (5,000 positives: about 200 MiB). Two host syncs:
    the numbers of positives and of pairs size the tensors; padding to the largest possible ones instead would cost far
    more than the wait. Differentiable once.

    Args:
        student_emb: label-wise embeddings (B, C, D).
        teacher_emb: (B, C, D'), any width; receives no gradient.
        targets: (B, C); only entries that are 1 take part, so absent and unknown labels do not.
        protocol: `code` or `paper`.

    Returns:
        Two scalars, CD and ID; exactly 0, with a graph, where no class (image) has two positives.
    """
    return compare_structures(student_emb, teacher_emb, targets, protocol, by_class=True, by_image=True)
