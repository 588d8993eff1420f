"""Cross-entropy of one softmax against an image's labels in equal shares (the 1/k softmax)."""

from torch import Tensor

from ._common import OverImages, full_precision, nowhere, reduce_images, require_labels


@full_precision
def softmax_targets(logits: Tensor, targets: Tensor, reduction: OverImages = "batchmean") -> Tensor:
    """Cross-entropy of the softmax over all classes against 1/k for each of an image's k positives.

    Mahajan et al., Exploring the Limits of Weakly Supervised Pretraining (ECCV 2018) Sec. 2.2; the "1/k softmax" row of
    UD (MM 2021) Table 5. Probabilities of a network trained with it sum to 1 over the classes: rank by its logits, a
    threshold on their sigmoids means little.

    Args:
        logits: (B, C).
        targets: (B, C), 1 present, 0 absent, negative unknown (in no softmax).
        reduction: over images, `batchmean` divides their sum by B, `sum` does not.

    Returns:
        A scalar in float32 (float64 for float64 logits); 0 for images without a positive.
    """
    require_labels(logits, targets)
    positive = targets == 1
    log_probabilities = logits.masked_fill(targets < 0, nowhere(logits)).log_softmax(dim=1).masked_fill(~positive, 0.0)
    loss = -(log_probabilities.sum(dim=1) / positive.sum(dim=1).clamp(min=1)).sum()
    return reduce_images(loss, len(logits), reduction)
