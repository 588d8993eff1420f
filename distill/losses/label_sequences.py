r"""Means over label sequences in closed form: the mathematics of MDKD's multi-order dependencies.

Let D_kl be the difference of a pair dependency of labels k and l between teacher and student (symmetric, zero
diagonal). An order-n dependency averages D along a sequence of n distinct labels (MDKD, MM 2024, Eq. 7 and 12), and
the loss is the mean of Huber(average) over all C(C-1)...(C-n+1) sequences (Eq. 8 and 13). While |D| <= 1 Huber is x^2
/ 2, and the mean square needs three numbers only, because two steps of a sequence are the same pair, share one label,
or share none:

    S2 = sum_kl D_kl^2        R2 = sum_k (sum_l D_kl)^2        q = (sum_kl D_kl)^2
    M2 = S2 / (C)_2           M3 = (R2 - S2) / (C)_3           M4 = (q - 4 R2 + 2 S2) / (C)_4
    L_n = 1/2 [ M2 / (n-1) + 2 (n-2) / (n-1)^2 M3 + (n-2)(n-3) / (n-1)^2 M4 ]

So every order costs the same, and orders above four add no new statistic.
"""

import functools
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class PairStatistics:
    """S2, R2 and q of one or several matrices D, and the number of labels that each is over.

    Attributes:
        square: S2; any shape.
        rows: R2; same shape.
        total: q; same shape.
        labels: C, or a tensor of the same shape when it differs between the matrices.
    """

    square: Tensor
    rows: Tensor
    total: Tensor
    labels: int | Tensor


def mean_huber(statistics: PairStatistics, order: int) -> Tensor:
    """L_n for every matrix; exact while |D| <= 1, and 0 where there are fewer labels than `order`.

    Args:
        statistics: of D.
        order: number of labels in a sequence, at least 2.
    """
    if order < 2:
        raise ValueError(f"a label sequence has at least 2 labels, order {order} has none.")
    labels, steps = statistics.labels, order - 1
    if isinstance(labels, int) and labels < order:
        warn_no_sequence(order, labels)
        return 0.0 * statistics.square
    mean = statistics.square / _falling(labels, 2) / steps
    if order >= 3:
        sharing_one = (statistics.rows - statistics.square) / _falling(labels, 3)
        mean = mean + 2.0 * (order - 2) / steps**2 * sharing_one
    if order >= 4:
        sharing_none = (statistics.total - 4.0 * statistics.rows + 2.0 * statistics.square) / _falling(labels, 4)
        mean = mean + (order - 2) * (order - 3) / steps**2 * sharing_none
    if isinstance(labels, Tensor):
        mean = mean.masked_fill(labels < order, 0.0)
    return 0.5 * mean


def statistics_of_matrix(differences: Tensor) -> PairStatistics:
    """S2, R2 and q of one symmetric matrix D (C, C) with zero diagonal."""
    rows = differences.sum(dim=1)
    return PairStatistics(
        square=differences.square().sum(),
        rows=rows.square().sum(),
        total=rows.sum().square(),
        labels=differences.shape[0],
    )


@functools.cache
def warn_no_sequence(order: int, labels: int) -> None:
    """Say once that an order beyond the number of classes contributes nothing."""
    warnings.warn(f"{labels} classes have no label sequence of order {order}: that dependency term is 0.", stacklevel=2)


def _falling(labels: int | Tensor, factors: int) -> int | Tensor:
    """C (C-1) ... with `factors` factors; at least 1 in a tensor, whose impossible entries are masked afterwards."""
    product = labels
    for k in range(1, factors):
        product = product * (labels - k)
    return product.clamp(min=1) if isinstance(product, Tensor) else product


def centred(student: Tensor, teacher: Tensor, known: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Sums and differences that all pair dependencies are made of.

    (t_k - t_l)^2 - (s_k - s_l)^2 = (d_k - d_l)(m_k - m_l) with d = t - s and m = t + s, and neither factor changes when
    d and m are shifted: centring them per image avoids the cancellation that raw power sums of t and s suffer when the
    student is close to the teacher (up to 28 % in float32).

    Args:
        student: logits (B, C).
        teacher: logits (B, C).
        known: (B, C) in the logits' dtype, 1 where the label takes part; None when all do.

    Returns:
        d (B, C), m (B, C), zero where not known, and the number of labels that take part in each image (B,).
    """
    s, t = torch.sigmoid(student), torch.sigmoid(teacher.detach().to(student.dtype))
    d, m = t - s, t + s
    if known is None:
        return d - d.mean(1, keepdim=True), m - m.mean(1, keepdim=True), d.new_full((len(d),), d.shape[1])
    labels = known.sum(dim=1)
    share = known / labels.clamp(min=1.0)[:, None]
    d = known * (d - (share * d).sum(dim=1, keepdim=True))
    m = known * (m - (share * m).sum(dim=1, keepdim=True))
    return d, m, labels


def known_labels(targets: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """(B, C), 1 where the annotation is known; None without targets."""
    return None if targets is None else (targets >= 0).to(dtype)
