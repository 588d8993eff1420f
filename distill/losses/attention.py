"""Distance of two attention maps."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ._common import full_precision


@full_precision
def attention_distance(
    student: Tensor, teacher: Tensor, targets: Tensor | None = None, form: Literal["l2", "mse"] = "l2"
) -> Tensor:
    """Mean over images of the distance between the student's and the teacher's attention map, unweighted.

    UD (MM 2021) Eq. 17: `l2` is the Euclidean norm of the difference over all H W positions, as printed; `mse`, as its
    authors' code has it, the mean of the squared differences. Where the maps differ in size the student's is resized to
    the teacher's, bilinearly, its values kept.

    Args:
        student: (B, h, w).
        teacher: (B, H, W); receives no gradient.
        targets: (B, C); images without any known label (all entries negative) count 0. None: every image counts.
        form: `l2` or `mse`.

    Returns:
        A scalar in float32 (float64 for float64 maps). The gradient of `l2` is 0 where the maps are equal.

    Raises:
        ValueError: these are not maps of the same images.
    """
    if student.ndim != 3 or teacher.ndim != 3 or len(student) != len(teacher):
        raise ValueError(
            f"attention maps of student {tuple(student.shape)} and teacher {tuple(teacher.shape)} must be (batch, "
            "height, width) of the same images."
        )
    if student.shape != teacher.shape:
        student = F.interpolate(student[:, None], teacher.shape[1:], mode="bilinear").squeeze(1)
    difference = (student - teacher.detach().to(student.dtype)).flatten(1)
    if form == "l2":
        loss = torch.linalg.vector_norm(difference, dim=1)
    elif form == "mse":
        loss = difference.square().mean(dim=1)
    else:
        raise ValueError(f"unknown form {form!r}: l2 or mse.")
    if targets is not None:
        loss = loss.masked_fill((targets < 0).all(dim=1), 0.0)
    return loss.mean()
