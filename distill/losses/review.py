"""Hierarchical context loss (HCL) of ReviewKD: two feature maps at several resolutions."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ._common import full_precision

_SIDES = (4, 2, 1)  # of the averaged maps


@full_precision
def hierarchical_context(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of two maps as they are and averaged to 4 x 4, 2 x 2 and 1 x 1, unweighted.

    ReviewKD (CVPR 2021) Sec. 3, as in the authors' code: weights 1, 1/2, 1/4, 1/8, divided by their sum. A resolution
    that the smaller side of the map does not exceed takes no part, and the next one takes its weight. Each mean is over
    images, channels and positions. Averaging is linear: only the difference of the maps is averaged, to all resolutions
    by one matrix product, which unlike adaptive pooling is deterministic on a GPU.

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
    teacher = teacher.detach().to(student.dtype)
    height, width = student.shape[2:]
    sides = [side for side in _SIDES if side < min(height, width)]
    weights = [0.5**number for number in range(len(sides) + 1)]
    loss = F.mse_loss(student, teacher)
    if sides:
        spans = [torch.einsum("ih,jw->hwij", _spans(height, n, student), _spans(width, n, student)) for n in sides]
        averages = (student - teacher).flatten(2) @ torch.cat([s.reshape(height * width, -1) for s in spans], dim=1)
        parts = averages.square().split([side**2 for side in sides], dim=2)
        loss = loss + sum(weight * part.mean() for weight, part in zip(weights[1:], parts, strict=True))
    return loss / sum(weights)


def _spans(length: int, side: int, like: Tensor) -> Tensor:
    """(side, length): row i averages the positions from floor(i L / side) to below ceil((i + 1) L / side)."""
    row = torch.arange(side, device=like.device)[:, None]
    position = torch.arange(length, device=like.device)
    inside = (position * side < (row + 1) * length) & ((position + 1) * side > row * length)
    return inside.to(like.dtype) / inside.sum(dim=1, keepdim=True)
