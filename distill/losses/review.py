"""Hierarchical context loss (HCL) of ReviewKD: two feature maps at several resolutions."""

import torch.nn.functional as F
from torch import Tensor

from ._common import full_precision

_SIDES = (4, 2, 1)  # of the pooled maps


@full_precision
def hierarchical_context(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of two maps as they are and averaged to 4 x 4, 2 x 2 and 1 x 1, unweighted.

    ReviewKD (CVPR 2021) Sec. 3, as in the authors' code: weights 1, 1/2, 1/4, 1/8, divided by their sum. A resolution
    that the smaller side of the map does not exceed takes no part, and the next one takes its weight. Each mean is over
    images, channels and positions. Averaging is linear, so that only the difference of the maps is averaged.

    Args:
        student: (B, F, H, W).
        teacher: (B, F, H, W); receives no gradient.

    Returns:
        A scalar in float32 (float64 for float64 maps).
    """
    if student.shape != teacher.shape:
        raise ValueError(
            f"student and teacher maps differ in shape, {tuple(student.shape)} and {tuple(teacher.shape)}: bring the "
            "student's to the teacher's channels and size first."
        )
    difference = student - teacher.detach()
    loss, weight, total = difference.square().mean(), 1.0, 1.0
    for side in _SIDES:
        if side < min(difference.shape[2:]):
            weight /= 2
            total += weight
            loss = loss + weight * F.adaptive_avg_pool2d(difference, side).square().mean()
    return loss / total
