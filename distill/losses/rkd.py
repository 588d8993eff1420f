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


def _squared_distances(features: Tensor) -> Tensor:
    """Between all images: (B, F) -> (B, B).

    |a|^2 + |b|^2 - 2ab alone cancels for close images, and in TF32 for all: it gives the gradient, which does not
    suffer, and direct differences give the value, whose own gradient would cost a tensor of B^2 F.
    """
    centred = features - features.detach().mean(dim=0)
    norms = centred.square().sum(dim=1)
    product = norms[:, None] + norms[None, :] - 2.0 * centred @ centred.T
    with torch.no_grad():
        exact = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist").square()
        correction = exact - product
    return product + correction


def _relative_distances(features: Tensor) -> Tensor:
    """Distances (B, B) divided by their mean over the pairs; 0 for one image."""
    images = len(features)
    distances = _squared_distances(features).clamp(min=_EPS).sqrt()
    distances = distances.masked_fill(torch.eye(images, dtype=torch.bool, device=features.device), 0.0)
    return distances / (distances.sum() / max(images * (images - 1), 1)).clamp(min=_EPS**0.5)


def _cosines(features: Tensor) -> Tensor:
    """Cosine (B, B, B) of the angle at the first image between the other two."""
    squares = _squared_distances(features)
    identical = squares <= _EPS
    # Masked before and after: the reciprocal of 0 would make a gradient of 0 * inf.
    inverse = squares.masked_fill(identical, 1.0).rsqrt().masked_fill(identical, 0.0)
    doubled = squares[:, :, None] + squares[:, None, :] - squares[None, :, :]
    return 0.5 * doubled * (inverse[:, :, None] * inverse[:, None, :])
