"""L2D's class-aware and instance-aware terms as their authors' code is built: a loop over classes, one over images.

What benchmarks/losses.py compares the library's form with; it computes the same numbers. Where a class (or image) has
two positives, their embeddings are cut out of the tensor, all distances between them come from |a|^2 + |b|^2 - 2ab, and
each model's are divided by the mean of the positive ones.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def class_and_instance_aware_loops(student: Tensor, teacher: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """CD and ID of label-wise embeddings (B, C, D) under `protocol: code`."""
    zero = student.new_zeros(())
    of_class, of_image = zero, zero
    for label in range(targets.shape[1]):
        present = targets[:, label] == 1
        if present.sum() > 1:
            of_class = of_class + _disparity(student[:, label][present], teacher[:, label][present])
    for image in range(targets.shape[0]):
        present = targets[image] == 1
        if present.sum() > 1:
            of_image = of_image + _disparity(student[image][present], teacher[image][present])
    return of_class, of_image


def _disparity(student: Tensor, teacher: Tensor) -> Tensor:
    with torch.no_grad():
        theirs = _distances(teacher)
        theirs = theirs / theirs[theirs > 0].mean()
    ours = _distances(student)
    ours = ours / ours[ours > 0].mean()
    return F.smooth_l1_loss(ours, theirs, reduction="sum") / len(student)


def _distances(rows: Tensor) -> Tensor:
    squares = rows.square().sum(dim=1)
    product = squares[:, None] + squares[None, :] - 2.0 * rows @ rows.T
    distances = product.clamp(min=1e-12).sqrt().clone()
    distances[range(len(rows)), range(len(rows))] = 0.0
    return distances
