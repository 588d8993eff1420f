"""Pick-all-labels normalised loss over partial softmaxes (UD's PAL-N)."""

import torch.nn.functional as F
from torch import Tensor

from ._common import OverImages, full_precision, nowhere, reduce_images, require_labels


@full_precision
def pal(logits: Tensor, targets: Tensor, reduction: OverImages = "batchmean") -> Tensor:
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
    require_labels(logits, targets)
    positive = targets == 1
    rivals = logits.masked_fill(targets != 0, nowhere(logits)).logsumexp(dim=1, keepdim=True)
    losses = -F.logsigmoid(logits - rivals).masked_fill(~positive, 0.0)
    loss = (losses.sum(dim=1) / positive.sum(dim=1).clamp(min=1)).sum()
    return reduce_images(loss, len(logits), reduction)
