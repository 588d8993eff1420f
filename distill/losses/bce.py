"""Binary cross-entropy."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ._common import Reduction, full_precision, reduce_known, require_labels


@full_precision
def bce(logits: Tensor, targets: Tensor, reduction: Reduction = "batchmean") -> Tensor:
    """Binary cross-entropy of every class against its annotation.

    MDKD (MM 2024) Eq. 1 and the text of L2D (ICCV 2023): `batchmean`, a sum over classes divided by the batch size. The
    L2D authors' code, which its lambdas belong to: `sum`.

    Args:
        logits: (B, C).
        targets: (B, C), 1 present, 0 absent, negative unknown (takes no part); soft targets in [0, 1] are allowed.
        reduction: `batchmean` sums over classes and images and divides by B, `mean` by the known labels, `sum` by
            nothing, `none` keeps (B, C).

    Returns:
        A scalar in float32 (float64 for float64 logits), or (B, C) for reduction `none`.
    """
    require_labels(logits, targets)
    # softplus(z) - z y is as finite, but cancels where the prediction is right: in float32 to 0 beyond z = 17.
    likelihood = torch.lerp(F.logsigmoid(-logits), F.logsigmoid(logits), targets.to(logits.dtype))
    return reduce_known(-likelihood, targets, reduction)
