"""Divergence of the student's probabilities from the teacher's at a temperature: of the softmax, or class by class."""

import torch.nn.functional as F
from torch import Tensor

from ._common import OverImages, full_precision, nowhere, reduce_images, require_labels, require_same_shape
from .mld import mld


@full_precision
def softmax_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor | None = None,
    temperature: float = 1.0,
    reduction: OverImages = "batchmean",
) -> Tensor:
    """KL divergence of softmax(z_S / T) from softmax(z_T / T) over the classes of an image.

    Hinton et al., Distilling the Knowledge in a Neural Network (2015) Sec. 2, without its factor T^2, and UD (MM 2021)
    Eq. 14: one divergence per image. Its gradient is (softmax(z_S / T) - softmax(z_T / T)) / T at every logit.

    Args:
        student_logits: (B, C).
        teacher_logits: (B, C); receives no gradient.
        targets: (B, C); classes whose entry is negative (unknown) are in neither softmax of that image. None: all are.
        temperature: T, positive.
        reduction: over images, `batchmean` divides their sum by B, `sum` does not.

    Returns:
        A scalar in float32 (float64 for float64 logits); 0 for images with fewer than two known classes.
    """
    require_same_shape(student_logits, teacher_logits)
    student, teacher = student_logits / temperature, teacher_logits.detach() / temperature
    if targets is not None:
        require_labels(student, targets)
        unknown = targets < 0
        student = student.masked_fill(unknown, nowhere(student))
        teacher = teacher.masked_fill(unknown, nowhere(teacher))
    loss = F.kl_div(student.log_softmax(dim=1), teacher.log_softmax(dim=1), reduction="sum", log_target=True)
    return reduce_images(loss, len(student), reduction)


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
