"""Squared error of the logits."""

from torch import Tensor

from ._common import Reduction, full_precision, reduce_known, require_same_shape


@full_precision
def mse(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor | None = None,
    reduction: Reduction = "batchmean",
) -> Tensor:
    """Squared difference of the student's and the teacher's logits.

    CPSD (IJCAI 2022) Eq. 6 sums over classes and images (`sum`); `batchmean` divides that by the batch size, the scale
    of MDKD's BCE and MLD; `mean` is `torch.nn.MSELoss`.

    Args:
        student_logits: (B, C).
        teacher_logits: (B, C); receives no gradient.
        targets: (B, C); entries that are negative (unknown) take no part. None: every entry counts.
        reduction: `batchmean` sums over classes and images and divides by B, `mean` by the known labels, `sum` by
            nothing, `none` keeps (B, C).

    Returns:
        A scalar in float32 (float64 for float64 logits), or (B, C) for reduction `none`.
    """
    require_same_shape(student_logits, teacher_logits)
    return reduce_known((student_logits - teacher_logits.detach()).square(), targets, reduction)
