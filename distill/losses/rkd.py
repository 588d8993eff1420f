"""Relational knowledge distillation (RKD): distances between images, and angles between three of them."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ._common import full_precision, require_same_images

_EPS = 1e-12  # of a squared distance: images closer than 1e-6 count as identical


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
    ours = _relative(_pair_squares(student))
    theirs = _relative(_pair_squares(teacher.detach().to(student.dtype)))
    return 2.0 * F.smooth_l1_loss(ours, theirs, reduction="sum") / len(student) ** 2


@full_precision
def rkd_angle(student: Tensor, teacher: Tensor) -> Tensor:
    """Disparity of the angles that two images form at a third, unweighted.

    RKD (CVPR 2019) Sec. 3.2, angle-wise: cosine of the angle at image i between the directions to j and k, Huber loss
    between teacher and student. As in the authors' code: mean over all B^3 triplets, those that repeat an image among
    them, and cosine 0 where an image is identical to i. No labels are read. Relations are those of the local batch.

    By the law of cosines from the B^2 distances, O(B^2 F + B^3) instead of O(B^3 F). Memory: at its peak six tensors of
    B^3 elements, in float32 1 MiB each at B = 64 and 512 MiB each at B = 512.

    Args:
        student: pooled features (B, F).
        teacher: pooled features (B, F'), any width; receives no gradient.

    Returns:
        A scalar in float32 (float64 for float64 features); exactly 0, with a graph, for a single image.
    """
    require_same_images(student, teacher)
    theirs = _cosines(_pair_squares(teacher.detach().to(student.dtype)), len(student))
    return F.smooth_l1_loss(_cosines(_pair_squares(student), len(student)), theirs)


def _pair_squares(features: Tensor) -> Tensor:
    """Squared distances of the B (B - 1) / 2 pairs i < j, by rows of the upper triangle.

    From direct differences, because |a|^2 + |b|^2 - 2ab cancels for close images, and in TF32 for all.
    """
    first, second = _pairs(len(features), features.device)
    return (features.index_select(0, first) - features.index_select(0, second)).square().sum(dim=1)


def _pairs(images: int, device: torch.device) -> tuple[Tensor, Tensor]:
    first, second = torch.triu_indices(images, images, offset=1, device=device).unbind()
    return first, second


def _relative(squares: Tensor) -> Tensor:
    """Distances divided by their mean; empty for one image."""
    distances = squares.clamp(min=_EPS).sqrt()
    return distances / (distances.sum() / max(len(distances), 1)).clamp(min=_EPS**0.5)


def _cosines(squares: Tensor, images: int) -> Tensor:
    """Cosine (B, B, B) of the angle at the first image between the other two."""
    upper = squares.new_zeros(images, images).index_put(_pairs(images, squares.device), squares)
    matrix = upper + upper.T
    identical = matrix <= _EPS
    # Masked before and after: the reciprocal of 0 would make a gradient of 0 * inf.
    inverse = matrix.masked_fill(identical, 1.0).rsqrt().masked_fill(identical, 0.0)
    doubled = matrix[:, :, None] + matrix[:, None, :] - matrix[None, :, :]
    return 0.5 * doubled * (inverse[:, :, None] * inverse[:, None, :])
