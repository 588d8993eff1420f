"""Binary divergence from labels that are almost, but not quite, certain."""

import math

from torch import Tensor

from ._common import Reduction, full_precision
from .mld import mld

EPSILON = 1.0 / (1.0 + math.exp(9.0))
"""UD's: the target logits are 9 and -9."""


@full_precision
def label_smoothing(
    logits: Tensor, targets: Tensor, *, epsilon: float = EPSILON, reduction: Reduction = "batchmean"
) -> Tensor:
    """KL divergence of every class's sigmoid from the probability 1 - epsilon (present) or epsilon (absent).

    Label smoothing for sigmoids, UD (MM 2021) Sec. 5.3.4: 0 where a logit is log((1 - epsilon) / epsilon), 9 by
    default, or its negative. Finite for every logit.

    Args:
        logits: (B, C).
        targets: (B, C), 1 present, 0 absent, negative unknown (takes no part).
        epsilon: between 0 and 0.5, both excluded.
        reduction: `batchmean` sums over classes and images and divides by B, `mean` by the known labels, `sum` by
            nothing, `none` keeps (B, C); `batchmean` is the scale of `bce`.

    Returns:
        A scalar in float32 (float64 for float64 logits), or (B, C) for reduction `none`.

    Raises:
        ValueError: an epsilon without a finite target logit.
    """
    if not 0.0 < epsilon < 0.5:
        raise ValueError(f"epsilon is {epsilon}, and must lie between 0 and 0.5, both excluded.")
    certainty = math.log1p(-epsilon) - math.log(epsilon)
    signs = 2.0 * (targets == 1).to(logits.dtype) - 1.0
    return mld(logits, certainty * signs, targets, reduction)
