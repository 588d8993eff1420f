"""Divergence of every class's probability at a temperature, averaged over the classes."""

from torch import Tensor

from ._common import OverImages, full_precision, reduce_images
from .mld import mld


@full_precision
def binary_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor | None = None,
    temperature: float = 1.0,
    reduction: OverImages = "batchmean",
) -> Tensor:
    """KL divergence of sigmoid(z_S / T) from sigmoid(z_T / T), class by class, averaged over an image's classes.

    UD (MM 2021) Eq. 13 with the T of its Sec. 5.3.4. It is MLD of the softened logits divided by C.

    Args:
        student_logits: (B, C).
        teacher_logits: (B, C); receives no gradient.
        targets: (B, C); entries that are negative (unknown) count as 0 in the mean. None: every entry counts.
        temperature: T, positive.
        reduction: over images, `batchmean` divides their sum by B, `sum` does not.

    Returns:
        A scalar in float32 (float64 for float64 logits).
    """
    classes = student_logits.shape[1]
    total = mld(student_logits / temperature, teacher_logits / temperature, targets, "sum") / classes
    return reduce_images(total, len(student_logits), reduction)
