"""Distances between label-wise embeddings that share a class or an image: the machinery of L2D's terms."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .._common import raised
from ..distances import listed_distances

Protocol = Literal["code", "paper"]


def compare_structures(
    student_emb: Tensor,
    teacher_emb: Tensor,
    targets: Tensor,
    protocol: Protocol,
    *,
    by_class: bool,
    by_image: bool,
) -> tuple[Tensor, Tensor]:
    """Compare distances between positives that share a class, an image, or either.

    A group is a class (numbers 0..C-1) or an image (C..C+B-1); a pair of positives is in one group at most.
    """
    if protocol not in ("code", "paper"):
        raise ValueError(f"unknown protocol {protocol!r}: one of code, paper.")
    if student_emb.shape[:2] != targets.shape or teacher_emb.shape[:2] != targets.shape:
        raise ValueError(
            f"embeddings of student {tuple(student_emb.shape)} and teacher {tuple(teacher_emb.shape)} must be "
            f"(batch, classes, width) with batch and classes of the targets {tuple(targets.shape)}."
        )
    classes = targets.shape[1]
    positive = targets == 1
    image, label = positive.nonzero(as_tuple=True)
    first, second, group = _pairs(image, label, classes, by_class=by_class, by_image=by_image)

    rows = image * classes + label
    student = listed_distances(_rows(student_emb, rows), first, second)
    teacher = listed_distances(_rows(teacher_emb.detach(), rows).to(student.dtype), first, second)
    weight = student.new_full((), 2.0)  # a pair stands for both of its orders
    if protocol == "code":
        sizes = torch.cat([positive.sum(dim=0), positive.sum(dim=1)]).to(student.dtype)
        pairs_in_group = (sizes * (sizes - 1.0) / 2.0).clamp(min=1.0)
        student = student / _group_means(student, group, pairs_in_group).index_select(0, group)
        teacher = teacher / _group_means(teacher, group, pairs_in_group).index_select(0, group)
        weight = weight / sizes.index_select(0, group)
    terms = F.smooth_l1_loss(student, teacher, reduction="none") * weight
    zero = terms.new_zeros(())
    of_class = group < classes
    return torch.where(of_class, terms, zero).sum(), torch.where(of_class, zero, terms).sum()


def _pairs(
    image: Tensor, label: Tensor, classes: int, *, by_class: bool, by_image: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Unordered pairs of positives that share a group: indices of both members, and the group's number."""
    same = torch.zeros(len(label), len(label), dtype=torch.bool, device=label.device)
    if by_class:
        same |= label[:, None] == label[None, :]
    if by_image:
        same |= image[:, None] == image[None, :]
    first, second = same.triu(diagonal=1).nonzero(as_tuple=True)
    shares_class = label[first] == label[second]
    return first, second, torch.where(shares_class, label[first], classes + image[first])


def _rows(embeddings: Tensor, rows: Tensor) -> Tensor:
    """The positives' embeddings (P, D), only these raised to full precision."""
    return raised(embeddings.flatten(0, 1).index_select(0, rows))


def _group_means(values: Tensor, group: Tensor, counts: Tensor) -> Tensor:
    """Mean of `values` (pairs,) per group, given the number of pairs of each group."""
    return torch.zeros_like(counts).index_add(0, group, values) / counts
