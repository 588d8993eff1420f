"""Probabilistic knowledge transfer (PKT): which images are likely neighbours of which."""

import torch
from torch import Tensor

from ._common import full_precision, require_same_images

_EPS = 1e-7  # of the authors' code: added to norms and, inside the logarithm, to probabilities


@full_precision
def pkt(student: Tensor, teacher: Tensor) -> Tensor:
    """KL divergence of the student's from the teacher's neighbour probabilities, unweighted.

    Passalis and Tefas (ECCV 2018) Sec. 3 with the cosine kernel: the probability that image i picks j as its neighbour
    is (1 + cos) / 2, divided by its sum over the batch. As in the authors' code: an image may pick itself, and p_T
    log(p_T / p_S) is averaged over all B^2 pairs, so that one image's divergence is divided by B once more. A row of
    zeros is orthogonal to every image and gets no gradient (the authors' square root gives NaN there). No labels are
    read. Relations are those of the local batch.

    Args:
        student: pooled features (B, F).
        teacher: pooled features (B, F'), any width; receives no gradient.

    Returns:
        A scalar in float32 (float64 for float64 features); 0 for a single image.
    """
    require_same_images(student, teacher)
    ours = _neighbour_probabilities(student)
    theirs = _neighbour_probabilities(teacher.detach().to(student.dtype))
    return (theirs * ((theirs + _EPS) / (ours + _EPS)).log()).mean()


def _neighbour_probabilities(features: Tensor) -> Tensor:
    """(B, F) -> probabilities (B, B), rows summing to 1."""
    norms = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    directions = features * torch.where(norms > 0, 1.0 / (norms + _EPS), 0.0)
    # Rounding takes the kernel of opposite directions a little below 0.
    kernel = ((directions @ directions.T + 1.0) / 2.0).clamp(min=0.0)
    return kernel / kernel.sum(dim=1, keepdim=True)
