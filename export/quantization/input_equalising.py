"""Equalisation by what layers take: scale moves between neighbours so that rounding adds the least to their outputs.

Channel i of what a layer takes has the root mean square x_i, and weights of at most c_i, in units of what their output
channel gives. It is divided by s_i in the layer before and multiplied by it here. One scale for all channels of a map
wants s_i = x_i, which makes them alike; one scale for all weights of an output channel wants s_i = 1 / c_i; s_i =
sqrt(x_i / c_i) stands half-way. RepVGG's fused kernels want that one: each output channel's largest weight is at an
input of its own, and the noise of its weights, sum (c_i s_i)^2 times sum (x_i / s_i)^2, is smallest there. Each pair of
layers takes of five such ways, or of none, the one that adds least. The ranges of weights alone, which `equalising`
compares, tell that only where a whole tensor of weights has one scale.

Source: G. Xiao et al., SmoothQuant, ICML 2023, equation 4, for convolutions, and with alpha by what it adds. Which
layers are paired, and why no others: `equalising`.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from .equalising import Pair, by_input
from .layer_inputs import Sizes

_EXPONENTS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of x_i; of c_i one less
_LEVELS_OF_VALUES = 255


def equalise_by_inputs(
    values: dict[str, np.ndarray], pairs: Sequence[Pair], sizes: Mapping[str, Sizes], levels: int
) -> None:
    """Exchange arrays of `values`, float64 by name, for equalised ones; a channel that is zero on a side is left.

    Args:
        values: weights and biases.
        pairs: of layers.
        sizes: of what the second of a pair takes, by the name of its weights.
        levels: of weights, on each side of zero.
    """
    for pair in pairs:
        first, second = values[pair.weight], values[pair.then]
        scale = best_scale(by_input(second, pair.groups), sizes[pair.then], levels)
        scale[~np.abs(first).reshape(len(first), -1).any(axis=1)] = 1.0
        values[pair.weight] = first / scale.reshape(-1, *[1] * (first.ndim - 1))
        if pair.bias:
            values[pair.bias] = values[pair.bias] / scale
        scaled = by_input(second, pair.groups) * scale.reshape(pair.groups, 1, -1, 1)
        values[pair.then] = scaled.reshape(second.shape)


def best_scale(weight: np.ndarray, sizes: Sizes, levels: int) -> np.ndarray:
    """What each channel is multiplied by, (C,).

    Args:
        weight: (groups, O / groups, I / groups, taps) of the layer that takes them.
        sizes: of what it takes.
        levels: of weights, on each side of zero.
    """
    size = sizes.rms.reshape(len(weight), 1, -1, 1)
    given = np.sqrt(np.square(weight * size).sum(axis=(2, 3), keepdims=True))
    shares = np.divide(np.abs(weight), given, out=np.zeros_like(weight), where=given > 0)
    largest = shares.max(axis=(1, 3)).ravel()
    alive = (sizes.rms > 0) & (largest > 0)
    ways = [np.ones(len(largest))]
    for exponent in _EXPONENTS:
        scale = np.ones(len(largest))
        scale[alive] = sizes.rms[alive] ** exponent * largest[alive] ** (exponent - 1)
        if alive.any():  # maps keep their size on the whole
            scale[alive] /= np.exp(np.log(scale[alive]).mean())
        ways.append(scale)
    return min(ways, key=partial(noise_of, shares, sizes, levels))


def noise_of(shares: np.ndarray, sizes: Sizes, levels: int, scale: np.ndarray) -> float:
    """What rounding weights and values adds, of what each output channel gives, summed over them.

    Args:
        shares: |weights| (groups, O / groups, I / groups, taps) over the root mean square of what each output gives.
        sizes: of what is taken.
        levels: of weights, on each side of zero.
        scale: (C,), that divides what is taken and multiplies the weights.
    """
    scales = scale.reshape(len(shares), 1, -1, 1)
    moved, size = shares * scales, sizes.rms.reshape(scales.shape) / scales
    step = moved.max(axis=(2, 3), keepdims=True) / levels
    whole = np.rint(np.divide(moved, step, out=np.zeros_like(moved), where=step > 0))
    of_weights = np.square((whole * step - moved) * size).sum()
    of_a_value = np.square((sizes.largest / scale).max() / _LEVELS_OF_VALUES) / 12  # an even error's, of a step
    return float(of_weights + of_a_value * np.square(moved).sum())
