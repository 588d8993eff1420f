"""Distribution-balanced loss, for labels with a long tail."""

import torch
from torch import Tensor

from ._common import Reduction, full_precision, reduce_known
from .focal import focused


@full_precision
def distribution_balanced(
    logits: Tensor,
    targets: Tensor,
    present: Tensor,
    absent: Tensor,
    *,
    gamma: float = 2.0,
    alpha: float = 0.1,
    beta: float = 10.0,
    mu: float = 0.2,
    negative_scale: float = 2.0,
    kappa: float = 0.05,
    reduction: Reduction = "batchmean",
) -> Tensor:
    """Binary cross-entropy rebalanced for classes that occur together, and tolerant of negatives.

    Wu et al., Distribution-Balanced Loss for Multi-Label Classification in Long-Tailed Datasets (ECCV 2020), with focal
    loss ("DB Focal") as its authors' code has it, whose defaults for COCO-MLT are ours (for VOC-MLT mu is 0.3 and
    negative_scale 5). A label of class k in image i weighs alpha + sigmoid(beta (r - mu)), where r = (1 / n_k) / sum of
    1 / n_j over the image's present classes j is the share of the image's sampling that class k alone would ask for (an
    image without any has the largest weight). Logits are shifted by -kappa log(absent / present) / negative_scale, and
    for absent labels multiplied by negative_scale, by which their loss is divided again.

    Args:
        logits: (B, C).
        targets: (B, C), 1 present, 0 absent, negative unknown (takes no part).
        present: (C,), n_k: training images in which the class is present; 0 counts as 1.
        absent: (C,), those in which it is absent; likewise.
        gamma: focusing exponent; 0 is the loss without focus.
        alpha: least weight.
        beta: steepness of the weight.
        mu: share at which the weight is halfway.
        negative_scale: steepness for absent labels: a larger one is tolerant of those that are predicted well.
        kappa: weight of the classes' prior.
        reduction: `batchmean` sums over classes and images and divides by B, `mean` by the known labels, `sum` by
            nothing, `none` keeps (B, C); the authors' code takes the `mean`, times 2.

    Returns:
        A scalar in float32 (float64 for float64 logits), or (B, C) for reduction `none`.
    """
    positive = targets == 1
    present, absent = (counts.to(logits.dtype).clamp(min=1.0) for counts in (present, absent))
    asked = positive.to(logits.dtype) @ present.reciprocal()
    share = present.reciprocal() / asked[:, None]  # infinite in an image without any, whose sigmoid is 1
    weight = alpha + torch.sigmoid(beta * (share - mu))
    shifted = logits - kappa / negative_scale * (absent / present).log()
    loss = focused(torch.where(positive, shifted, -negative_scale * shifted), gamma)
    return reduce_known(weight * torch.where(positive, loss, loss / negative_scale), targets, reduction)
