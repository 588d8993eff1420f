"""Pick-all-labels normalised loss over partial softmaxes (UD's PAL-N)."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ._common import full_precision


@full_precision
def pal(logits: Tensor, targets: Tensor, reduction: Literal["batchmean", "sum"] = "batchmean") -> Tensor:
    """Cross-entropy of each positive against all negatives of its image, averaged over the image's positives.

    UD (MM 2021) Eq. 10-11: positive i has the probability exp(z_i) / (exp(z_i) + sum over the negatives of exp(z_j)),
    so that positives do not compete with each other. O(BC): a positive's loss is -log sigmoid(z_i - logsumexp over the
    negatives), finite for every logit.

    Args:
        logits: (B, C).
        targets: (B, C), 1 present, 0 absent, negative unknown (neither a positive nor a negative).
        reduction: over images, `sum` is the paper's ("the summation from all training samples in a batch"), `batchmean`
            divides it by B, the scale of `bce`.

    Returns:
        A scalar in float32 (float64 for float64 logits); 0 for images without a positive or without a negative.
    """
    positive = targets == 1
    # Finite instead of -inf: an image without negatives would otherwise give inf - inf.
    nowhere = torch.finfo(logits.dtype).min / 4
    rivals = logits.masked_fill(targets != 0, nowhere).logsumexp(dim=1, keepdim=True)
    losses = -F.logsigmoid(logits - rivals).masked_fill(~positive, 0.0)
    loss = (losses.sum(dim=1) / positive.sum(dim=1).clamp(min=1)).sum()
    return loss / logits.shape[0] if reduction == "batchmean" else loss
