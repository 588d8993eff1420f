"""Relational knowledge distillation (RKD): distances between images, and angles between three of them."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ._common import full_precision, require_same_images
from .distances import CLOSEST, squared_distances


@full_precision
def rkd_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Disparity of the distances between images, unweighted.

    RKD (CVPR 2019) Sec. 3.2, distance-wise: Euclidean distances, those of each model divided by their mean over the
    pairs of the batch (the gradient flows through the student's mean), Huber loss between teacher and student. As in
    the authors' code: mean over all B^2 ordered pairs, an image with itself among them, and identical images at
    distance 1e-6 without a gradient. No labels are read. Relations are those of the local batch.

    Args:
        student: pooled features (B, F).
        teacher: pooled features (B, F'), any width; receives no gradient.

    Returns:
        A scalar in float32 (float64 for float64 features); exactly 0, with a graph, for one or two images.
    """
    require_same_images(student, teacher)
    theirs = _relative_distances(teacher.detach().to(student.dtype))
    return F.smooth_l1_loss(_relative_distances(student), theirs)


@full_precision
def rkd_angle(student: Tensor, teacher: Tensor) -> Tensor:
    """Disparity of the angles that two images form at a third, unweighted.

    RKD (CVPR 2019) Sec. 3.2, angle-wise: cosine of the angle at image i between the directions to j and k, Huber loss
    between teacher and student. As in the authors' code: mean over all B^3 triplets, those that repeat an image among
    them, and cosine 0 where an image is identical to i. No labels are read. Relations are those of the local batch.

    By the law of cosines from the B^2 distances, O(B^2 F + B^3) instead of O(B^3 F). Memory: five tensors of B^3
    elements at the peak, in float32 1 MiB each at B = 64 and 512 MiB each at B = 512.

    Args:
        student: pooled features (B, F).
        teacher: pooled features (B, F'), any width; receives no gradient.

    Returns:
        A scalar in float32 (float64 for float64 features); exactly 0, with a graph, for a single image.
    """
    require_same_images(student, teacher)
    theirs = _cosines(teacher.detach().to(student.dtype))
    return F.smooth_l1_loss(_cosines(student), theirs)


def _relative_distances(features: Tensor) -> Tensor:
    """Distances (B, B) divided by their mean over the pairs; 0 for one image."""
    images = len(features)
    distances = squared_distances(features).clamp(min=CLOSEST**2).sqrt()
    distances = distances.masked_fill(torch.eye(images, dtype=torch.bool, device=features.device), 0.0)
    return distances / (distances.sum() / max(images * (images - 1), 1)).clamp(min=CLOSEST)


def _cosines(features: Tensor) -> Tensor:
    """Cosine (B, B, B) of the angle at the first image between the other two."""
    squares = squared_distances(features)
    identical = squares <= CLOSEST**2
    # Masked before and after: the reciprocal of 0 would make a gradient of 0 * inf.
    inverse = squares.masked_fill(identical, 1.0).rsqrt().masked_fill(identical, 0.0)
    doubled = squares[:, :, None] + squares[:, None, :] - squares[None, :, :]
    return 0.5 * doubled * (inverse[:, :, None] * inverse[:, None, :])
