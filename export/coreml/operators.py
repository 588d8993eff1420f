"""The operators of ML programs (MIL) that classifiers are made of, with PyTorch.

By their own names and parameters, called with keywords:
https://apple.github.io/coremltools/source/coremltools.converters.mil.mil.ops.defs.html
"""

# ruff: noqa: PLR0917, PLW0108

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def _ints(values: Any) -> list[int]:
    return [int(value) for value in (values.tolist() if isinstance(values, Tensor) else values)]


def _padding(
    x: Tensor, kernel: list[int], strides: list[int], dilations: list[int], pad_type: str, pad: Any
) -> list[int]:
    """As `F.pad` wants it: the last axis first."""
    if pad_type == "custom":
        given = _ints(pad)
        pairs = list(zip(given[::2], given[1::2], strict=True))
    elif pad_type in ("same", "same_lower"):
        pairs = []
        for size, reach, stride, dilation in zip(x.shape[2:], kernel, strides, dilations, strict=True):
            total = max(0, (-(-size // stride) - 1) * stride + (reach - 1) * dilation + 1 - size)
            less, more = total // 2, total - total // 2
            pairs.append((less, more) if pad_type == "same" else (more, less))
    else:
        pairs = [(0, 0)] * len(kernel)
    return [side for pair in reversed(pairs) for side in pair]


def _conv(
    x: Tensor,
    weight: Tensor,
    strides: Any,
    pad_type: str,
    pad: Any,
    dilations: Any,
    groups: int,
    bias: Tensor | None = None,
) -> Tensor:
    kernel, strides, dilations = list(weight.shape[2:]), _ints(strides), _ints(dilations)
    padded = F.pad(x, _padding(x, kernel, strides, dilations, pad_type, pad))
    compute = {1: F.conv1d, 2: F.conv2d}[len(kernel)]
    return compute(padded, weight, bias, strides, 0, dilations, int(groups))


def _pool(
    x: Tensor, kernel_sizes: Any, strides: Any, pad_type: str, pad: Any, *, fill: float
) -> tuple[Tensor, list[int], list[int]]:
    kernel, strides = _ints(kernel_sizes), _ints(strides)
    padding = _padding(x, kernel, strides, [1] * len(kernel), pad_type, pad)
    return F.pad(x, padding, value=fill), kernel, strides


def _max_pool(x: Tensor, kernel_sizes: Any, strides: Any, pad_type: str, pad: Any, ceil_mode: bool = False) -> Tensor:
    padded, kernel, strides = _pool(x, kernel_sizes, strides, pad_type, pad, fill=-torch.inf)
    return F.max_pool2d(padded, kernel, strides, ceil_mode=bool(ceil_mode))


def _avg_pool(
    x: Tensor,
    kernel_sizes: Any,
    strides: Any,
    pad_type: str,
    pad: Any,
    exclude_padding_from_average: bool = False,
    ceil_mode: bool = False,
) -> Tensor:
    padded, kernel, strides = _pool(x, kernel_sizes, strides, pad_type, pad, fill=0.0)
    mean = F.avg_pool2d(padded, kernel, strides, ceil_mode=bool(ceil_mode))
    if not exclude_padding_from_average:
        return mean
    inside, _, _ = _pool(torch.ones_like(x), kernel_sizes, strides, pad_type, pad, fill=0.0)
    return mean / F.avg_pool2d(inside, kernel, strides, ceil_mode=bool(ceil_mode))


def _split(x: Tensor, axis: int, num_splits: int = 0, split_sizes: Any = None) -> tuple[Tensor, ...]:
    size = x.shape[int(axis)]
    return torch.split(x, _ints(split_sizes) if split_sizes is not None else size // int(num_splits), int(axis))


def _slice(
    x: Tensor,
    begin: Any,
    end: Any,
    stride: Any = None,
    begin_mask: Any = None,
    end_mask: Any = None,
    squeeze_mask: Any = None,
) -> Tensor:
    rank = x.ndim
    steps = [1] * rank if stride is None else _ints(stride)
    no = [False] * rank
    starts, ends, gone = (
        no if mask is None else list(map(bool, mask)) for mask in (begin_mask, end_mask, squeeze_mask)
    )
    for axis, (first, last) in enumerate(zip(_ints(begin), _ints(end), strict=True)):
        size = x.shape[axis]
        low = 0 if starts[axis] else first + size * (first < 0)
        high = size if ends[axis] else last + size * (last < 0)
        x = x.index_select(axis, torch.arange(low, low + 1 if gone[axis] else min(high, size), steps[axis]))
    return x.squeeze([axis for axis in range(rank) if gone[axis]]) if any(gone) else x


def _reduced(compute: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def reduce(x: Tensor, axes: Any = None, keep_dims: bool = False) -> Tensor:
        return compute(x, list(range(x.ndim)) if axes is None else _ints(axes), keepdim=bool(keep_dims))

    return reduce


def _layer_norm(x: Tensor, axes: Any, gamma: Any = 1.0, beta: Any = 0.0, epsilon: float = 1e-5) -> Tensor:
    axes = _ints(axes)
    centred = x - x.mean(axes, keepdim=True)
    normal = centred * torch.rsqrt(centred.square().mean(axes, keepdim=True) + epsilon)
    return normal * gamma + beta


def _batch_norm(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    return F.batch_norm(x, mean, variance, gamma, beta, training=False, eps=epsilon)


def _matmul(x: Tensor, y: Tensor, transpose_x: bool = False, transpose_y: bool = False) -> Tensor:
    return (x.mT if transpose_x else x) @ (y.mT if transpose_y else y)


def _pad(x: Tensor, pad: Any, mode: str = "constant", constant_val: float = 0.0) -> Tensor:
    pairs = _ints(pad)
    last_first = [side for at in range(len(pairs) - 2, -1, -2) for side in pairs[at : at + 2]]
    return F.pad(x, last_first, mode, constant_val) if mode == "constant" else F.pad(x, last_first, mode)


def _reshape(x: Tensor, shape: Any) -> Tensor:
    return x.reshape([x.shape[at] if size == 0 else size for at, size in enumerate(_ints(shape))])


def _gather(x: Tensor, indices: Any, axis: int, batch_dims: int = 0, validate_indices: bool = False) -> Tensor:
    chosen = torch.as_tensor(indices).long()
    taken = x.index_select(int(axis), chosen.reshape(-1) % x.shape[int(axis)])
    axis = int(axis) % x.ndim
    return taken.reshape(*x.shape[:axis], *chosen.shape, *x.shape[axis + 1 :])


def _concat(values: list[Any], axis: int, interleave: bool = False) -> Tensor:
    tensors = [torch.as_tensor(value) for value in values]
    if interleave:  # one of each in turn: a channel shuffle
        return torch.stack(tensors, int(axis) + 1).flatten(int(axis), int(axis) + 1)
    return torch.cat([tensor.reshape(-1) if tensor.ndim == 0 else tensor for tensor in tensors], int(axis))


def _expanded(x: Tensor, axes: list[int]) -> list[int]:
    rank = x.ndim + len(axes)
    new = {axis % rank for axis in axes}
    sizes = iter(x.shape)
    return [1 if axis in new else next(sizes) for axis in range(rank)]


OPERATORS: dict[str, Callable[..., Any]] = {
    # convolutions and products
    "conv": _conv,
    "linear": lambda x, weight, bias=None: F.linear(x, weight, bias),
    "matmul": _matmul,
    # pointwise
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "real_div": lambda x, y: x / y,
    "pow": lambda x, y: x**y,
    "maximum": lambda x, y: torch.maximum(torch.as_tensor(x), torch.as_tensor(y)),
    "minimum": lambda x, y: torch.minimum(torch.as_tensor(x), torch.as_tensor(y)),
    "relu": lambda x: F.relu(x),
    "relu6": lambda x: F.relu6(x),
    "clip": lambda x, alpha, beta: x.clamp(alpha, beta),
    "leaky_relu": lambda x, alpha: F.leaky_relu(x, alpha),
    "prelu": lambda x, alpha: F.prelu(x, alpha),
    "elu": lambda x, alpha: F.elu(x, alpha),
    "sigmoid": lambda x: x.sigmoid(),
    "sigmoid_hard": lambda x, alpha, beta: (alpha * x + beta).clamp(0, 1),
    "silu": lambda x: F.silu(x),
    "gelu": lambda x, mode="EXACT": F.gelu(x, approximate="none" if mode == "EXACT" else "tanh"),
    "tanh": lambda x: x.tanh(),
    "softplus": lambda x: F.softplus(x),
    "erf": lambda x: x.erf(),
    "exp": lambda x: x.exp(),
    "sqrt": lambda x: x.sqrt(),
    "rsqrt": lambda x, epsilon=0.0: torch.rsqrt(x + epsilon),
    "square": lambda x: x.square(),
    "abs": lambda x: x.abs(),
    "cast": lambda x, dtype: x,  # every result is rounded to its type
    "identity": lambda x: x,
    # normalisations
    "softmax": lambda x, axis: x.softmax(int(axis)),
    "layer_norm": _layer_norm,
    "batch_norm": _batch_norm,
    # over axes
    "reduce_mean": _reduced(torch.mean),
    "reduce_sum": _reduced(torch.sum),
    "reduce_max": _reduced(torch.amax),
    "reduce_min": _reduced(torch.amin),
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    # what only moves values
    "reshape": _reshape,
    "transpose": lambda x, perm: x.permute(_ints(perm)),
    "squeeze": lambda x, axes=None: x.squeeze(_ints(axes)) if axes is not None else x.squeeze(),
    "expand_dims": lambda x, axes: x.reshape(_expanded(x, _ints(axes))),
    "concat": _concat,
    "split": _split,
    "slice_by_index": _slice,
    "stack": lambda values, axis: torch.stack([torch.as_tensor(value) for value in values], int(axis)),
    "tile": lambda x, reps: x.repeat(_ints(reps)),
    "pad": _pad,
    "shape": lambda x: torch.tensor(x.shape, dtype=torch.int32),
    "gather": _gather,
}  # fmt: skip
