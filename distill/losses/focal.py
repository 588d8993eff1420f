"""Focal loss."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ._common import Reduction, full_precision, reduce_known


@full_precision
def focal(
    logits: Tensor,
    targets: Tensor,
    *,
    gamma: float = 2.0,
    alpha: float = 0.25,
    reduction: Reduction = "batchmean",
) -> Tensor:
    """Binary cross-entropy that plays down labels which are predicted well.

    Lin et al., Focal Loss for Dense Object Detection (ICCV 2017) Eq. 5, with its defaults: -alpha_t (1 - p_t)^gamma log
    p_t, where p_t is the probability of the label as it is, and alpha_t alpha of a present, 1 - alpha of an absent one.

    Args:
        logits: (B, C).
        targets: (B, C), 1 present, 0 absent, negative unknown (takes no part).
        gamma: focusing exponent; 0 is binary cross-entropy times alpha_t.
        alpha: weight of present labels.
        reduction: `batchmean` sums over classes and images and divides by B, `mean` by the known labels, `sum` by
            nothing, `none` keeps (B, C); the paper's detector divides by the number of positives.

    Returns:
        A scalar in float32 (float64 for float64 logits), or (B, C) for reduction `none`.
    """
    positive = targets == 1
    loss = focused(torch.where(positive, logits, -logits), gamma)
    return reduce_known(torch.where(positive, alpha * loss, (1 - alpha) * loss), targets, reduction)


def focused(margins: Tensor, gamma: float) -> Tensor:
    """-(1 - p)^gamma log p of p = sigmoid(margin), finite with its gradient at any margin."""
    return -F.logsigmoid(margins) * torch.exp(gamma * F.logsigmoid(-margins))
