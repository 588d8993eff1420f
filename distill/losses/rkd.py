"""Relational knowledge distillation (RKD): distances between images, and angles between three of them."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ._common import differentiable_once, full_precision, require_same_images
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

    By the law of cosines from the B^2 distances, O(B^2 F + B^3) instead of O(B^3 F). Memory: three tensors of B^3
    elements at the peak, in float32 1 MiB each at B = 64 and 512 MiB each at B = 512; B^2 are kept for the gradient.
    Differentiable once.

    Args:
        student: pooled features (B, F).
        teacher: pooled features (B, F'), any width; receives no gradient.

    Returns:
        A scalar in float32 (float64 for float64 features); exactly 0, with a graph, for a single image.
    """
    require_same_images(student, teacher)
    return _AngleDisparity.apply(squared_distances(student), squared_distances(teacher.detach().to(student.dtype)))


def _relative_distances(features: Tensor) -> Tensor:
    """Distances (B, B) divided by their mean over the pairs; 0 for one image."""
    images = len(features)
    distances = squared_distances(features).clamp(min=CLOSEST**2).sqrt()
    distances = distances.masked_fill(torch.eye(images, dtype=torch.bool, device=features.device), 0.0)
    return distances / (distances.sum() / max(images * (images - 1), 1)).clamp(min=CLOSEST)


class _AngleDisparity(torch.autograd.Function):
    """Mean over (i, j, k) of Huber(x_ijk - x'_ijk) from the squared distances S of the student and S' of the teacher.

    x_ijk = (S_ij + S_ik - S_jk) V_ij V_ik / 2 with V = S^(-1/2). Its B^3 elements are worked on in place, and the
    gradient is taken while they are there: autograd would keep them and as many again. With U the derivative of Huber,

        dL / dS_ij = V_ij sum_k U_ijk V_ik - V_ij^2 sum_k U_ijk x_ijk - 1/2 sum_k U_kij V_ki V_kj    divided by B^3.
    """

    @staticmethod
    def forward(ctx: Any, ours: Tensor, theirs: Tensor) -> Tensor:
        inverse = _inverse_distances(ours)
        cosines = _cosines(ours, inverse)
        difference = _cosines(theirs, _inverse_distances(theirs)).neg_().add_(cosines)
        count = difference.numel()
        slope = difference.clamp(-1.0, 1.0)
        loss = difference.sub_(slope, alpha=0.5).mul_(slope).sum() / count
        if ctx.needs_input_grad[0]:
            of_inverse = torch.mul(slope, cosines, out=difference).sum(dim=2)
            of_sides = (slope @ inverse[:, :, None]).squeeze(2)
            of_third_side = slope.mul_(inverse[:, :, None]).mul_(inverse[:, None, :]).sum(dim=0)
            ctx.save_for_backward((inverse * (of_sides - inverse * of_inverse) - 0.5 * of_third_side) / count)
        return loss

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        return upstream * ctx.saved_tensors[0], None


def _inverse_distances(squares: Tensor) -> Tensor:
    """1 / distance, 0 between identical images."""
    identical = squares <= CLOSEST**2
    return squares.masked_fill(identical, 1.0).rsqrt_().masked_fill_(identical, 0.0)


def _cosines(squares: Tensor, inverse: Tensor) -> Tensor:
    """Cosine (B, B, B) of the angle at the first image between the other two."""
    doubled = (squares[:, :, None] + squares[:, None, :]).sub_(squares)
    return doubled.mul_(inverse[:, :, None]).mul_(inverse[:, None, :]).mul_(0.5)
