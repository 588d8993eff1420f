"""Asymmetric loss (ASL)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ._common import Reduction, full_precision, reduce_known, require_labels


@full_precision
def asymmetric(
    logits: Tensor,
    targets: Tensor,
    *,
    gamma_neg: float = 4.0,
    gamma_pos: float = 0.0,
    clip: float = 0.05,
    reduction: Reduction = "batchmean",
) -> Tensor:
    """Binary cross-entropy that plays down easy negatives.

    Ridnik et al., Asymmetric Loss for Multi-Label Classification (ICCV 2021) Eq. 4-7; as CPSD (IJCAI 2022) trains with
    it: the focusing weights carry no gradient. With p = sigmoid(z) and p_m = max(p - clip, 0):
    positives -(1 - p)^gamma_pos log p, negatives -p_m^gamma_neg log(1 - p_m).

    Args:
        logits: (B, C).
        targets: (B, C), 1 present, 0 absent, negative unknown (takes no part).
        gamma_neg: focusing exponent of the negatives.
        gamma_pos: focusing exponent of the positives.
        clip: probability by which negatives are shifted; those below it are dropped.
        reduction: `batchmean` sums over classes and images and divides by B, `mean` by the known labels, `sum` by
            nothing, `none` keeps (B, C); `sum` is that of ASL's code and of CPSD Eq. 6.

    Returns:
        A scalar in float32 (float64 for float64 logits), or (B, C) for reduction `none`.
    """
    require_labels(logits, targets)
    absent = torch.sigmoid(-logits)
    # With a shift the argument of the logarithm is at least `clip`; without one only logsigmoid stays finite.
    log_absent = (absent + clip).clamp(max=1.0).log() if clip > 0 else F.logsigmoid(-logits)
    positive = targets == 1
    with torch.no_grad():
        easy = (1.0 - absent - clip).clamp(min=0.0)
        weight = torch.where(positive, absent.pow(gamma_pos), easy.pow(gamma_neg))
    loss = -weight * torch.where(positive, F.logsigmoid(logits), log_absent)
    return reduce_known(loss, targets, reduction)
