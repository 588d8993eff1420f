"""MDKD's dependencies in closed form with their gradient, both levels in one pass.

Differentiated by hand: on the few thousand numbers of a batch, autograd's own graph of some sixty small operations
costs twice the arithmetic. Notation as in `label_sequences`; c = (m - d) / 2 are the student's centred probabilities.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._common import differentiable_once
from .label_sequences import centred, checked_orders, instance_weights, known_labels, matrix_weights

_Pair = tuple[Tensor | None, Tensor | None]


def closed_forms(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor | None,
    batch_orders: Iterable[int],
    instance_orders: Iterable[int],
) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
    """Terms by order of the batch level (`mean_square`, through its C x C matrix) and of the instance level.

    Differentiable once, with respect to the student. See `batch_dependency` and `instance_dependency`.
    """
    classes, dtype, device = student_logits.shape[1], student_logits.dtype, student_logits.device
    of_batch = checked_orders(tuple(batch_orders), classes)
    of_instance = checked_orders(tuple(instance_orders), classes)
    if not of_batch and not of_instance:
        return {}, {}
    weights = (
        matrix_weights(of_batch, classes, dtype, device) if of_batch else None,
        instance_weights(of_instance, classes, dtype, device) if of_instance else None,
    )
    teacher_logits = teacher_logits.detach().to(dtype)
    terms = _ClosedForms.apply(student_logits, teacher_logits, known_labels(targets, dtype), weights).unbind()
    count = len(of_batch)
    return dict(zip(of_batch, terms[:count], strict=True)), dict(zip(of_instance, terms[count:], strict=True))


class _ClosedForms(torch.autograd.Function):
    """Terms (batch orders + instance orders,) from the weights of both levels, None where a level has no orders."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, known: Tensor | None, weights: _Pair) -> Tensor:
        probabilities = student.sigmoid()
        both, labels = centred(probabilities, teacher.sigmoid(), known)
        d, m = both
        parts = _Parts(d, m, d * m, known, labels)
        terms: list[Tensor] = []
        of_matrix, of_images = _OfMatrix(), _OfImages()
        if weights[0] is not None:
            term, of_matrix = _matrix_terms(parts, weights[0])
            terms.append(term)
        if weights[1] is not None:
            term, of_images = _instance_terms(parts, both, weights[1])
            terms.append(term)
        ctx.save_for_backward(probabilities, *parts, *of_matrix, *of_images)
        return torch.cat(terms)

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        probabilities, *saved = ctx.saved_tensors
        parts, of_matrix, of_images = _Parts(*saved[:5]), _OfMatrix(*saved[5:10]), _OfImages(*saved[10:])
        upstream, gradient, count = 2.0 * upstream, None, 0  # every term is quadratic
        if of_matrix.weights is not None:
            count = len(of_matrix.weights)
            gradient = _matrix_gradient(upstream[:count], parts, of_matrix)
        if of_images.weights is not None:
            second = _instance_gradient(upstream[count:], parts, of_images)
            gradient = second if gradient is None else gradient + second
        return torch.ops.aten.sigmoid_backward(gradient, probabilities), None, None, None


class _Parts(NamedTuple):
    """What both levels are made of: d, m and their product (B, C), zero where not known, and the labels of an image."""

    d: Tensor
    m: Tensor
    product: Tensor
    known: Tensor | None
    labels: Tensor | None


class _OfMatrix(NamedTuple):
    """Tensors that the batch level's gradient needs; None where it has no orders, which then asks for no gradient."""

    weights: Any = None
    differences: Any = None
    together: Any = None
    rows: Any = None
    total: Any = None


class _OfImages(NamedTuple):
    """Tensors that the instance level's gradient needs; None where it has no orders, as there."""

    weights: Any = None
    squares: Any = None
    mixed: Any = None


def _matrix_terms(parts: _Parts, weights: Tensor) -> tuple[Tensor, _OfMatrix]:
    """Terms (orders,) of D (C, C), the mean square difference.

    B_kl D_kl sums (d_k - d_l)(m_k - m_l) over the B_kl images that know both labels.
    """
    d, m, product, known, _ = parts
    if known is None:
        together = None
        half = product.sum(dim=0)[:, None] - d.T @ m
    else:
        together = (known.T @ known).clamp_(min=1.0)
        half = known.T @ product - d.T @ m
    differences = (half + half.T).div_(len(d) if together is None else together)
    rows = differences.sum(dim=1)
    total = rows.sum()
    terms = weights @ torch.stack([differences.square().sum(), rows @ rows, total.square()])
    return terms, _OfMatrix(weights, differences, together, rows, total)


def _matrix_gradient(upstream: Tensor, parts: _Parts, saved: _OfMatrix) -> Tensor:
    """With respect to the probabilities: 2 sum_l H_kl (c_l - c_k), H the symmetric gradient of D over the B_kl."""
    d, m, _, known, _ = parts
    weights, differences, together, rows, total = saved
    of_square, of_rows, of_total = (upstream @ weights).unbind()
    per_row = of_rows * rows + of_total * total
    gradient = torch.addcmul(per_row, of_square, differences, value=2.0).add_(per_row[:, None])
    gradient.div_(len(d) if together is None else together)
    doubled = m - d
    if known is None:  # then all labels are
        return torch.addmm(doubled * gradient.sum(dim=0), doubled, gradient, beta=-1.0)
    return known * (doubled @ gradient - doubled * (known @ gradient))


def _instance_terms(parts: _Parts, both: Tensor, weights: Tensor) -> tuple[Tensor, _OfImages]:
    """Terms (orders,), means over the images of weighted Q, A B and P^2."""
    _, _, product, _, labels = parts
    if labels is None:
        of_image = weights[:, -1:].expand(-1, len(product), -1).flatten(1)
    else:
        of_image = weights.index_select(1, labels.long()).flatten(1)
    squares, mixed = torch.linalg.vecdot(both, both), product.sum(dim=1)
    sums = torch.stack([torch.linalg.vecdot(product, product), squares.prod(dim=0), mixed.square()], dim=1)
    return of_image @ sums.flatten() / len(product), _OfImages(of_image, squares, mixed)


def _instance_gradient(upstream: Tensor, parts: _Parts, saved: _OfImages) -> Tensor:
    """With respect to the probabilities (dm / ds = 1, dd / ds = -1), through the centring of d and m."""
    d, m, product, known, labels = parts
    weights, squares, mixed = saved
    u, v, w = (upstream @ weights / len(d)).view(len(d), 3, 1).unbind(dim=1)
    shared = torch.addcmul(w * mixed[:, None], u, product)
    of_d, of_m = v * squares[:, :, None]
    gradient = d * (shared - of_m) + m * (of_d - shared)
    if known is None or labels is None:
        return gradient - gradient.mean(dim=1, keepdim=True)
    means = torch.linalg.vecdot(gradient, known) / labels.clamp(min=1.0)
    return known * (gradient - means[:, None])
