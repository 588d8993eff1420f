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
from collections.abc import Callable

import torch
from torch import Tensor

Weights = Callable[[tuple[int, ...], int, torch.dtype, torch.device], Tensor]


def _constant(make: Weights) -> Weights:
    """Keep what was made, also for trainings after an inference.

    Made on the host in every step, it would cost a transfer, and with it a host sync. A graph that torch.compile traces
    makes it on the device instead, in a few operations that fuse: torch 2.14 refuses a graph that embeds two constants
    of one function (`torch.compiler.assume_constant_result`), as a sum of two dependencies would.
    """

    @functools.lru_cache(maxsize=64)
    def kept(orders: tuple[int, ...], classes: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        with torch.inference_mode(False):
            return make(orders, classes, dtype, torch.device("cpu")).to(device)

    def constant(orders: tuple[int, ...], classes: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        if torch.compiler.is_compiling():
            doubles = torch.device("cpu") if device.type == "mps" else device  # MPS has no float64
            return make(orders, classes, dtype, doubles).to(device)
        return kept(orders, classes, dtype, device)

    return constant


@_constant
def matrix_weights(orders: tuple[int, ...], classes: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Weights (orders, 3) that make L_n of S2, R2 and q; all 0 for an order beyond the number of classes."""
    return _weights(orders, torch.full((), float(classes), dtype=torch.float64, device=device)).to(dtype)


@_constant
def instance_weights(orders: tuple[int, ...], classes: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Weights (orders, classes + 1, 3) by number of labels, that make L_n of the sums of one image.

    With D_kl = (d_k - d_l)(m_k - m_l) and d, m centred over C labels, A = sum d^2, B = sum m^2, P = sum d m and Q = sum
    d^2 m^2 are enough: S2 = 2 (C Q + A B + 2 P^2), R2 = C^2 Q + 3 C P^2, q = 4 C^2 P^2. These weights are of Q, A B and
    P^2, combined in double precision, since C^2 and (C)_4 are large.
    """
    labels = torch.arange(classes + 1, dtype=torch.float64, device=device)
    square, rows, total = _weights(orders, labels).unbind(-1)
    of_q = labels * (2.0 * square + labels * rows)
    of_p = 4.0 * square + labels * (3.0 * rows + 4.0 * labels * total)
    return torch.stack([of_q, 2.0 * square, of_p], dim=-1).to(dtype)


def _weights(orders: tuple[int, ...], labels: Tensor) -> Tensor:
    """Weights of S2, R2 and q (orders, *labels.shape, 3) in float64, where `labels` is."""
    return torch.stack([_weights_of_order(order, labels) for order in orders])


def _weights_of_order(order: int, labels: Tensor) -> Tensor:
    """(*labels.shape, 3); 0 where there are fewer labels than a sequence needs."""
    pairs = labels * (labels - 1.0)
    triples = pairs * (labels - 2.0)
    quadruples = triples * (labels - 3.0)
    # Orders beyond the labels are masked below; here they only must not divide by 0.
    m2 = 0.5 / (order - 1) / pairs.clamp(min=1.0)
    m3 = (order - 2) / (order - 1) ** 2 / triples.clamp(min=1.0)
    m4 = 0.5 * (order - 2) * (order - 3) / (order - 1) ** 2 / quadruples.clamp(min=1.0)
    return torch.stack([m2 - m3 + 2.0 * m4, m3 - 4.0 * m4, m4], dim=-1).masked_fill((labels < order)[..., None], 0.0)


def checked_orders(orders: tuple[int, ...], classes: int) -> tuple[int, ...]:
    """Refuse orders that are no sequence, and say once which ones this many classes do not have."""
    for order in orders:
        if order < 2:
            raise ValueError(f"a label sequence has at least 2 labels, order {order} has none.")
        if order > classes:
            _warn_no_sequence(order, classes)
    return orders


@functools.cache
def _warn_no_sequence(order: int, labels: int) -> None:
    warnings.warn(f"{labels} classes have no label sequence of order {order}: that dependency term is 0.", stacklevel=2)


def centred(student: Tensor, teacher: Tensor, known: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Sums and differences that all pair dependencies are made of.

    (t_k - t_l)^2 - (s_k - s_l)^2 = (d_k - d_l)(m_k - m_l) with d = t - s and m = t + s, and neither factor changes when
    d and m are shifted: centring them per image avoids the cancellation that raw power sums of t and s suffer when the
    student is close to the teacher (up to 28 % in float32).

    Args:
        student: probabilities (B, C).
        teacher: probabilities (B, C).
        known: (B, C) in their dtype, 1 where the label takes part; None when all do.

    Returns:
        d and m, stacked (2, B, C), zero where not known; and the number of labels that take part in each image (B,),
        None when all do.
    """
    both = torch.stack([teacher - student, teacher + student])
    if known is None:
        return both - both.mean(dim=2, keepdim=True), None
    labels = known.sum(dim=1)
    means = torch.linalg.vecdot(both, known) / labels.clamp(min=1.0)
    return known * (both - means[:, :, None]), labels


def known_labels(targets: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """(B, C), 1 where the annotation is known; None without targets."""
    return None if targets is None else (targets >= 0).to(dtype)
