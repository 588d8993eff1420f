"""Partial-softmax distillation (PS)."""

import torch
from torch import Tensor

from ._common import OverImages, full_precision, nowhere, reduce_images, require_labels, require_same_shape


@full_precision
def partial_softmax(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor,
    reduction: OverImages = "batchmean",
) -> Tensor:
    """KL divergence between teacher and student softmaxes over one positive and all negatives of an image.

    The "PS" row of L2D (ICCV 2023) Tables 1 and 2, as its authors' code has it: one term per positive, summed over the
    positives, divided by the batch size. The softmax is UD's (MM 2021) Eq. 10. With N = logsumexp over the negatives,
    A = sum over the negatives of softmax(z_T) (z_T - z_S) and p = sigmoid(z_T - N_T), positive i contributes
    p (z_iT - z_iS) + (1 - p) A - (logaddexp(N_T, z_iT) - logaddexp(N_S, z_iS)): O(BC) instead of O(BC^2).

    Args:
        student_logits: (B, C).
        teacher_logits: (B, C); receives no gradient.
        targets: (B, C), 1 present, 0 absent, negative unknown (neither a positive nor a negative).
        reduction: `batchmean` (the sum over images and positives divided by B) or `sum`.

    Returns:
        A scalar in float32 (float64 for float64 logits); 0 for images without a positive or without a negative.
    """
    require_same_shape(student_logits, teacher_logits)
    require_labels(student_logits, targets)
    teacher_logits = teacher_logits.detach()
    negative = targets == 0
    masked_teacher = teacher_logits.masked_fill(~negative, nowhere(student_logits))
    lse_teacher = masked_teacher.logsumexp(dim=1, keepdim=True)
    lse_student = student_logits.masked_fill(~negative, nowhere(student_logits)).logsumexp(dim=1, keepdim=True)
    gap = teacher_logits - student_logits
    mean_gap = (masked_teacher.softmax(dim=1) * gap.masked_fill(~negative, 0.0)).sum(dim=1, keepdim=True)
    p = torch.sigmoid(teacher_logits - lse_teacher)
    shift = torch.logaddexp(lse_teacher, teacher_logits) - torch.logaddexp(lse_student, student_logits)
    loss = p * gap + (1.0 - p) * mean_gap - shift
    total = loss.masked_fill(targets != 1, 0.0).sum()
    return reduce_images(total, len(student_logits), reduction)
