"""What the losses share: full precision under autocast, unknown labels, reductions."""

import functools
from collections.abc import Callable
from typing import Any, Literal, ParamSpec, TypeVar, get_args

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")

Reduction = Literal["batchmean", "mean", "sum", "none"]
OverImages = Literal["batchmean", "sum"]


def full_precision(loss: Callable[P, R]) -> Callable[P, R]:
    """Run a loss outside autocast, with half-precision inputs raised to float32 (float64 stays)."""

    @without_autocast
    @functools.wraps(loss)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        return loss(*map(raised, args), **{k: raised(v) for k, v in kwargs.items()})  # type: ignore[arg-type]

    return wrapped


def without_autocast(loss: Callable[P, R]) -> Callable[P, R]:
    """Run a loss outside autocast, which would run its matrix products in bfloat16, whatever the inputs' dtype."""

    @functools.wraps(loss)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        device = next(a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)).device.type
        if not torch.is_autocast_enabled(device):  # entering the context costs as much as ten small operations
            return loss(*args, **kwargs)
        with torch.autocast(device, enabled=False):
            return loss(*args, **kwargs)

    return wrapped


def differentiable_once(backward: Callable[P, R]) -> Callable[P, R]:
    """Refuse to build a graph of a gradient that is written by hand, where PyTorch would take it for a constant."""

    @functools.wraps(backward)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        if torch.is_grad_enabled():
            raise RuntimeError("this loss is differentiable once: take its gradient without create_graph=True.")
        return backward(*args, **kwargs)

    return wrapped


def raised(value: Any) -> Any:
    """A half-precision tensor in float32, anything else as it is."""
    if isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16):
        return value.float()
    return value


def require_same_shape(student: Tensor, teacher: Tensor) -> None:
    """Refuse operands that would broadcast into a wrong but finite loss."""
    if student.shape != teacher.shape:
        raise ValueError(
            f"student and teacher logits differ in shape, {tuple(student.shape)} and {tuple(teacher.shape)}: "
            "both must be (batch, classes) over the same class list."
        )


def require_same_images(student: Tensor, teacher: Tensor) -> None:
    """Refuse features that are not one row per image, of the same images."""
    if student.ndim != 2 or teacher.ndim != 2 or len(student) != len(teacher):
        raise ValueError(
            f"features of student {tuple(student.shape)} and teacher {tuple(teacher.shape)} must be (batch, width) "
            "of the same images; the widths may differ."
        )


def require_labels(logits: Tensor, targets: Tensor) -> None:
    """Refuse annotations that would give a wrong but finite loss: of another shape."""
    if logits.shape != targets.shape:
        raise ValueError(
            f"logits {tuple(logits.shape)} and targets {tuple(targets.shape)} differ in shape: both must be (batch, "
            "classes)."
        )


def nowhere(like: Tensor) -> float:
    """A logit without weight in a softmax; finite, because -inf - -inf would be no number."""
    return torch.finfo(like.dtype).min / 4


def reduce_images(total: Tensor, images: int, reduction: OverImages) -> Tensor:
    """A sum over images as it is (`sum`), or divided by their number (`batchmean`)."""
    if reduction not in get_args(OverImages):
        raise ValueError(f"unknown reduction {reduction!r}: one of batchmean, sum.")
    return total / images if reduction == "batchmean" else total


def reduce_known(loss: Tensor, targets: Tensor | None, reduction: Reduction) -> Tensor:
    """Reduce a (B, C) loss over the entries whose label is known.

    Args:
        loss: element-wise loss (B, C).
        targets: (B, C), negative where unknown; None when every entry counts.
        reduction: `batchmean` sums over images and classes and divides by B (also when labels are unknown); `mean`
            divides by the number of known entries; `sum` divides by nothing; `none` keeps (B, C), unknown entries 0.
    """
    if targets is not None:
        require_labels(loss, targets)
        loss = loss.masked_fill(targets < 0, 0.0)
    if reduction == "none":
        return loss
    total = loss.sum()
    if reduction == "sum":
        return total
    if reduction == "batchmean":
        return total / loss.shape[0]
    if reduction == "mean":
        return total / loss.numel() if targets is None else total / (targets >= 0).sum().clamp(min=1)
    raise ValueError(f"unknown reduction {reduction!r}: one of batchmean, mean, sum, none.")
