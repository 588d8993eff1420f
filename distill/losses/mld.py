"""Multi-label logits distillation (MLD)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ._common import Reduction, full_precision, reduce_known, require_same_shape


@full_precision
def mld(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor | None = None,
    reduction: Reduction = "batchmean",
) -> Tensor:
    """KL divergence of the student's from the teacher's binary distribution, class by class.

    L2D (ICCV 2023) Sec. 3.1 and MDKD (MM 2024) Eq. 2: sum over classes, divided by the batch size (`batchmean`).
    Written with log-sigmoids, so that it is finite and its gradient is exactly sigmoid(z_S) - sigmoid(z_T) at every
    logit; the usual `log(sigmoid(z).clamp(eps))` loses the gradient beyond |z| of about 18.

    Args:
        student_logits: (B, C).
        teacher_logits: (B, C); receives no gradient.
        targets: (B, C); entries that are negative (unknown) take no part. None: every entry counts.
        reduction: `batchmean` sums over classes and images and divides by B, `mean` by the known labels, `sum` by
            nothing, `none` keeps (B, C); `mean` is UD (MM 2021) Eq. 13 averaged over images.

    Returns:
        A scalar in float32 (float64 for float64 logits), or (B, C) for reduction `none`.
    """
    require_same_shape(student_logits, teacher_logits)
    teacher_logits = teacher_logits.detach()
    present = torch.sigmoid(teacher_logits) * (F.logsigmoid(teacher_logits) - F.logsigmoid(student_logits))
    absent = torch.sigmoid(-teacher_logits) * (F.logsigmoid(-teacher_logits) - F.logsigmoid(-student_logits))
    return reduce_known(present + absent, targets, reduction)
