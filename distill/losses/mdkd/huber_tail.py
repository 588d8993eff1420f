"""What Huber's linear part takes off the mean square over label sequences."""

import math

import torch
from torch import Tensor

from ....runtime.errors import ConfigError

MAX_PREFIXES = 2**21  # of float64 per temporary: 16 MiB


def huber_tail(differences: Tensor, order: int) -> Tensor:
    """Mean over label sequences of x^2 / 2 - Huber(x), with x the average of D along the sequence; exact.

    Huber(x) = x^2/2 - max(|x| - 1, 0)^2 / 2. The sequences are not enumerated to the end: for each prefix of order - 1
    labels the sum over its last label is read from prefix sums of D's sorted rows, minus the few labels that the
    prefix already uses. O(C^(order-1) log C), in float64 (differences of prefix sums cancel in float32). Costs one
    host sync, and nothing more while |D| <= 1.

    Args:
        differences: D (C, C), symmetric with zero diagonal.
        order: number of labels in a sequence.

    Returns:
        A scalar; 0 where there are fewer classes than `order`.

    Raises:
        ConfigError: more than `MAX_PREFIXES` prefixes, whether or not this D needs them.
    """
    classes, steps = differences.shape[0], order - 1
    if classes < order:
        return differences.new_zeros(())
    if classes**steps > MAX_PREFIXES:
        feasible = 1 + math.floor(math.log(MAX_PREFIXES) / math.log(classes))
        raise ConfigError(
            f"batch_dependency: squared_sum of order {order} would visit {classes}^{steps} label sequences of "
            f"{classes} classes; choose mean_square (every order costs the same), or orders up to {feasible}."
        )
    if not bool((differences.abs() > 1.0).any()):
        return differences.new_zeros(())

    matrix = differences.double()
    along, distinct = _prefixes(matrix, steps)
    excess = _excess_over_all_ends(matrix, along, float(steps)) - _excess(along, float(steps))
    for position in range(steps - 1):
        excess = excess - _excess(along + _between(matrix, position, steps - 1, steps), float(steps))
    total = (excess * distinct).sum() / steps**2
    return (0.5 * total / math.perm(classes, order)).to(differences.dtype)


def _between(matrix: Tensor, first: int, second: int, length: int) -> Tensor:
    """View of a (C, C) matrix as a function of two positions of a tuple: broadcasts to (C,) * length."""
    shape = [1] * length
    shape[first] = shape[second] = matrix.shape[0]
    return matrix.reshape(shape)


def _prefixes(matrix: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """The sum of D along every tuple of `length` labels, and whether its labels differ; both (C,) * length."""
    classes = matrix.shape[0]
    along = matrix.new_zeros((classes,) * length)
    distinct = torch.ones_like(along, dtype=torch.bool)
    differ = ~torch.eye(classes, dtype=torch.bool, device=matrix.device)
    for position in range(1, length):
        along = along + _between(matrix, position - 1, position, length)
        for earlier in range(position):
            distinct = distinct & _between(differ, earlier, position, length)
    return along, distinct


def _excess(total: Tensor, limit: float) -> Tensor:
    return (total.abs() - limit).clamp(min=0.0).square()


def _excess_over_all_ends(matrix: Tensor, along: Tensor, limit: float) -> Tensor:
    """For each prefix, the sum over every label l of max(|along + D_end,l| - limit, 0)^2."""
    classes = matrix.shape[0]
    values = matrix.sort(dim=1).values
    first = torch.nn.functional.pad(values.cumsum(dim=1), (1, 0))
    second = torch.nn.functional.pad(values.square().cumsum(dim=1), (1, 0))
    # Prefixes that end with the same label share a row.
    by_end = along.reshape(-1, classes).T.contiguous()
    sorted_rows = values.detach().contiguous()
    high, low = limit - by_end, -limit - by_end
    above = torch.searchsorted(sorted_rows, high.detach(), right=True)
    below = torch.searchsorted(sorted_rows, low.detach())
    upper = _squares_about(
        high, classes - above, first[:, -1:] - first.gather(1, above), second[:, -1:] - second.gather(1, above)
    )
    lower = _squares_about(low, below, first.gather(1, below), second.gather(1, below))
    return (upper + lower).T.reshape(along.shape)


def _squares_about(centre: Tensor, count: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Sum of (v - centre)^2 over `count` values with sums `first` of v and `second` of v^2."""
    return second - 2.0 * centre * first + count * centre.square()
