"""MDKD's two terms: label dependencies of several orders, over the batch (BD) and inside an image (ID)."""

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor

from .._common import full_precision, require_same_shape
from .closed_forms import closed_forms
from .huber_tail import huber_tail
from .label_sequences import centred, checked_orders, known_labels, matrix_weights

Form = Literal["mean_square", "squared_sum"]

# Up to so many classes, or so many per image, the C x C matrix is the faster way.
_FEW_CLASSES = 256
_FEW_PER_IMAGE = 4


def batch_dependency(
    student_logits: Tensor,
    teacher_logits: Tensor,
    order: int,
    targets: Tensor | None = None,
    form: Form = "mean_square",
) -> Tensor:
    """Disparity of the order-n label dependencies over the batch, unweighted.

    MDKD (MM 2024) Eq. 4-8: order n averages the pair dependency along a sequence of n distinct labels; Huber loss
    between teacher and student, mean over all sequences. Relations are those of the local batch. The pair dependency
    is, of predicted probabilities y,

    * `mean_square`: (1/B) sum_i (y_ik - y_il)^2, the paper's words ("mean square difference between two sets");
      O(BC^2), differentiable once. Above 256 classes and four times the images, O(B^2 C) through B x B Gram matrices as
      long as every label is known, which costs one host sync to find out when `targets` are given;
    * `squared_sum`: (1/B) (sum_i y_ik - sum_i y_il)^2, Eq. 4 as printed. It exceeds 1, where Huber is linear: the
      exact tail is then subtracted, at O(C^(n-1) log C) and with one host sync; orders whose tail would be too large
      are refused.

    Args:
        student_logits: (B, C); the sigmoid is inside.
        teacher_logits: (B, C); receives no gradient.
        order: number of labels in a sequence, 2 or more; 0 is returned where it exceeds the number of classes.
        targets: (B, C); the dependency of two labels is then over the B_kl images in which both are known (not
            negative), B_kl replacing B, and 0 for two labels never known together. None: all labels take part.
        form: see above.

    Returns:
        A scalar in float32 (float64 for float64 logits).

    Raises:
        ConfigError: `squared_sum` of an order with too many sequences.
    """
    return batch_dependencies(student_logits, teacher_logits, (order,), targets, form)[order]


@full_precision
def batch_dependencies(
    student_logits: Tensor,
    teacher_logits: Tensor,
    orders: Iterable[int],
    targets: Tensor | None = None,
    form: Form = "mean_square",
) -> dict[int, Tensor]:
    """`batch_dependency` of several orders, under `mean_square` at the cost of one: they share their statistics.

    Args:
        student_logits: (B, C); the sigmoid is inside.
        teacher_logits: (B, C); receives no gradient.
        orders: each 2 or more.
        targets: (B, C), negative where unknown; see `batch_dependency`.
        form: likewise.

    Returns:
        A scalar by order.
    """
    require_same_shape(student_logits, teacher_logits)
    if form not in ("mean_square", "squared_sum"):
        raise ValueError(f"unknown form {form!r}: one of mean_square, squared_sum.")
    if form == "mean_square" and takes_matrix(student_logits, targets):
        return closed_forms(student_logits, teacher_logits, targets, orders, ())[0]
    orders = checked_orders(tuple(orders), student_logits.shape[1])
    student, teacher = student_logits.sigmoid(), teacher_logits.detach().to(student_logits.dtype).sigmoid()
    if form == "mean_square":
        (d, m), _ = centred(student, teacher, None)
        return _weighted(_gram_statistics(d, m), orders, student)
    known = known_labels(targets, student.dtype)
    (d, m), _ = centred(student, teacher, known)
    differences = _squared_sum(d, m, torch.ones_like(d) if known is None else known)
    rows = differences.sum(dim=1)
    statistics = torch.stack([differences.square().sum(), rows.square().sum(), rows.sum().square()])
    terms = _weighted(statistics, orders, student)
    return {order: term - huber_tail(differences, order) for order, term in terms.items()}


def takes_matrix(logits: Tensor, targets: Tensor | None) -> bool:
    """Whether `mean_square` goes through its C x C matrix: it is small, or unknown labels leave no other way.

    Where it does not, all labels are known, which with so many classes the host waits for the device to learn.
    """
    images, classes = logits.shape
    few = classes <= max(_FEW_CLASSES, _FEW_PER_IMAGE * images)
    return few or (targets is not None and bool((targets < 0).any()))


def _weighted(statistics: Tensor, orders: tuple[int, ...], like: Tensor) -> dict[int, Tensor]:
    """L_n from S2, R2 and q (3,)."""
    terms = matrix_weights(orders, like.shape[1], like.dtype, like.device) @ statistics
    return dict(zip(orders, terms.unbind(), strict=True))


def _squared_sum(d: Tensor, m: Tensor, known: Tensor) -> Tensor:
    """D (C, C) of the squared difference of sums; d and m are zero where not known."""
    sum_d, sum_m = d.T @ known, m.T @ known
    both = (known.T @ known).clamp(min=1.0)
    return (sum_d - sum_d.T) * (sum_m - sum_m.T) / both


def _gram_statistics(d: Tensor, m: Tensor) -> Tensor:
    """S2, R2 and q (3,) of `mean_square` without the matrix.

    D = (g 1' + 1 g' - H) / B with g = diag(d'm) and H = d'm + m'd; centring makes H 1 = 0, and the Frobenius norm of H
    is a sum over B x B Gram matrices.
    """
    images, classes = d.shape
    g = (d * m).sum(dim=0)
    gg, g_sum = g.square().sum(), g.sum()
    cross = m @ d.T
    mixed = 2.0 * ((d @ d.T) * (m @ m.T)).sum() + 2.0 * (cross * cross.T).sum()
    statistics = [
        2.0 * classes * gg + 2.0 * g_sum.square() + mixed,
        classes**2 * gg + 3.0 * classes * g_sum.square(),
        (2.0 * classes * g_sum).square(),
    ]
    return torch.stack(statistics) / float(images) ** 2


def instance_dependency(
    student_logits: Tensor,
    teacher_logits: Tensor,
    order: int,
    targets: Tensor | None = None,
) -> Tensor:
    """Disparity of the order-n label dependencies inside each image, unweighted.

    MDKD (MM 2024) Eq. 10-13: the dependency of labels k and l in image i is (y_ik - y_il)^2 of the predicted
    probabilities; order n averages it along a sequence of n distinct labels; Huber loss between teacher and student,
    mean over all sequences, mean over images (1/B). Exact for every order in O(BC): see `label_sequences`.
    Differentiable once.

    Args:
        student_logits: (B, C); the sigmoid is inside.
        teacher_logits: (B, C); receives no gradient.
        order: number of labels in a sequence, 2 or more; 0 is returned where it exceeds the number of classes.
        targets: (B, C); sequences through a negative (unknown) label are left out, and an image with fewer known labels
            than `order` contributes 0. None: all labels take part.

    Returns:
        A scalar in float32 (float64 for float64 logits).
    """
    return instance_dependencies(student_logits, teacher_logits, (order,), targets)[order]


@full_precision
def instance_dependencies(
    student_logits: Tensor,
    teacher_logits: Tensor,
    orders: Iterable[int],
    targets: Tensor | None = None,
) -> dict[int, Tensor]:
    """`instance_dependency` of several orders at the cost of one: they share their statistics.

    Args:
        student_logits: (B, C); the sigmoid is inside.
        teacher_logits: (B, C); receives no gradient.
        orders: each 2 or more.
        targets: (B, C), negative where unknown; see `instance_dependency`.

    Returns:
        A scalar by order.
    """
    require_same_shape(student_logits, teacher_logits)
    return closed_forms(student_logits, teacher_logits, targets, (), orders)[1]


@full_precision
def batch_and_instance_dependencies(
    student_logits: Tensor,
    teacher_logits: Tensor,
    batch_orders: Iterable[int],
    instance_orders: Iterable[int],
    *,
    targets: Tensor | None = None,
    form: Form = "mean_square",
) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
    """`batch_dependencies` and `instance_dependencies`, where they share their probabilities in one pass.

    Equals the two calls; see `batch_dependency` and `instance_dependency` for the equations.

    Args:
        student_logits: (B, C); the sigmoid is inside.
        teacher_logits: (B, C); receives no gradient.
        batch_orders: of the batch's dependencies, each 2 or more.
        instance_orders: of those within each image.
        targets: (B, C), negative where unknown; such labels take part in neither. None: all take part.
        form: of the batch's pair dependency, `mean_square` or `squared_sum`.

    Returns:
        Two dicts of scalars by order, the batch's and the images'.
    """
    require_same_shape(student_logits, teacher_logits)
    if form == "mean_square":
        if takes_matrix(student_logits, targets):
            return closed_forms(student_logits, teacher_logits, targets, batch_orders, instance_orders)
        targets = None  # none is unknown, see takes_matrix
    return (
        batch_dependencies(student_logits, teacher_logits, batch_orders, targets, form),
        instance_dependencies(student_logits, teacher_logits, instance_orders, targets),
    )
