"""Euclidean distances between rows: exact for close rows, and differentiated through matrix products."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ._common import differentiable_once

# All distances cost less time, and far less memory, than a table of differences of more numbers than this (32 MiB),
# unless they are this many times as many.
_LONG_TABLE = 2**23
_MORE = 50

CLOSEST = 1e-6  # rows closer than this count as identical: that distance and no gradient, as in RKD's and L2D's code


def listed_distances(rows: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Distances of the listed pairs, at least `CLOSEST`; differentiable once.

    From direct differences, because |a|^2 + |b|^2 - 2ab cancels for close rows. They are not kept for the gradient,
    which is a product with one (rows, rows) matrix.

    Args:
        rows: (P, D).
        first: indices of the pairs' members (N,); no pair twice.
        second: (N,), each larger than its `first`.

    Returns:
        (N,).
    """
    return _ListedDistances.apply(rows, first, second)


class _ListedDistances(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, first: Tensor, second: Tensor) -> Tensor:
        distances = _direct(rows, first, second).clamp_(min=CLOSEST)
        ctx.save_for_backward(rows, first, second, distances)
        return distances

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        rows, first, second, distances = ctx.saved_tensors
        pulls = rows.new_zeros(len(rows), len(rows))
        pulls[first, second] = (upstream / distances).masked_fill_(distances <= CLOSEST, 0.0)
        pulls = pulls + pulls.T
        # The gradient of row a, sum_b pulls_ab (a - b), does not see a shift of all rows, its rounding does.
        centred = rows - rows.mean(dim=0)
        return torch.addmm(pulls.sum(dim=1)[:, None] * centred, pulls, centred, alpha=-1.0), None, None


def _direct(rows: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Without a gradient: from a table of differences, or where that would be long, picked from all distances."""
    count = len(rows)
    if len(first) * rows.shape[1] > _LONG_TABLE and count**2 < 2 * _MORE * len(first) and _has_pdist(rows):
        return F.pdist(rows).index_select(0, first * (2 * count - first - 3) // 2 + second - 1)
    differences = rows.index_select(0, first).sub_(rows.index_select(0, second))
    return torch.linalg.vector_norm(differences, dim=1)


def squared_distances(rows: Tensor) -> Tensor:
    """Between all rows: (N, D) -> (N, N).

    |a|^2 + |b|^2 - 2ab alone cancels for close rows, and in TF32 for all: it gives the gradient, which does not suffer,
    and direct differences give the value.
    """
    centred = rows - rows.detach().mean(dim=0)
    norms = centred.square().sum(dim=1)
    product = norms[:, None] + norms[None, :] - 2.0 * centred @ centred.T
    with torch.no_grad():
        correction = _direct_squares(rows) - product
    return product + correction


def _direct_squares(rows: Tensor) -> Tensor:
    if not _has_pdist(rows):
        return torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").square()
    count = len(rows)
    first, second = torch.triu_indices(count, count, offset=1, device=rows.device)
    upper = rows.new_zeros(count, count)
    upper[first, second] = F.pdist(rows).square()  # a twentieth of cdist's time
    return upper + upper.T


def _has_pdist(rows: Tensor) -> bool:
    return rows.device.type in ("cpu", "cuda")
