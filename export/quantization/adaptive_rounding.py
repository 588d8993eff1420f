"""Adaptive rounding: what one weight loses to its rounding, the weights after it make up for.

Rounding each weight to its nearest level is best for the weights, not for what the layer gives: inputs go together, and
an error at one of them can be undone at another. Weights are rounded one after the other, and after each the ones that
are left move so that the layer's output changes least over calibration images.

Source: E. Frantar et al., GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers, ICLR 2023,
equations 2 and 3, with the weights in the order of their inputs' power; for convolutions as in its predecessor (Optimal
Brain Compression, NeurIPS 2022), each patch of a map is an input. Computed as Babai's nearest plane algorithm, which
gives the same levels (J. Chen et al., The Geometry of LLM Quantization, 2025) from one factor of the moments, without
their inverse. The mean of the inputs is taken off: what rounding does to the mean of the output, bias correction takes
back. Smaller scales, which clip a channel's largest weights, were tried for each channel and leave no less: with a
single large weight among hundreds, clipping it costs what it saves.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from .int8_weights import INT8_LEVELS, Int8Weight
from .layer_inputs import Layer, input_moments

_DAMPING = 0.01  # of the inputs' mean power, added to each: what a few images cannot tell stays near its own value
_BLOCK = 128  # weights for which what the ones before leave is summed at once
_MOST_NUMBERS = 1 << 26  # of all moments that are held at once; patches that wait for theirs take as many again


def adapt_levels(
    layers: Sequence[Layer],
    weights: Mapping[str, Int8Weight],
    taken: Callable[[list[str]], Iterable[Mapping[str, np.ndarray]]],
    images: int,
    largest: int = INT8_LEVELS,
) -> dict[str, np.ndarray]:
    """Other levels for the weights, int8 by layer.

    Args:
        layers: of a float graph.
        weights: of each.
        taken: what tensors of these names hold on calibration images, batch after batch.
        images: how many.
        largest: level that there is on each side of zero.
    """
    rng = np.random.default_rng(0)
    levels = {}
    for together in _grouped(layers):
        batches = taken(list(dict.fromkeys(layer.takes for layer in together)))
        for layer, found in zip(together, input_moments(together, batches, images, rng), strict=True):
            weight = weights[layer.name]
            scale = np.broadcast_to(weight.scale, weight.exact.shape)
            rounded = round_adaptively(layer.rows(weight.exact), layer.rows(scale)[..., :1], found, largest)
            levels[layer.name] = layer.shaped(rounded, weight.exact.shape)
    return levels


def round_adaptively(
    weights: np.ndarray, scale: np.ndarray, moments: np.ndarray, largest: int = INT8_LEVELS
) -> np.ndarray:
    """Levels int8 (G, O, K) between -`largest` and `largest`.

    Args:
        weights: (G, O, K) of G groups of O output channels with K weights each.
        scale: (G, O, 1) of a level.
        moments: (G, K, K), the covariance of a group's inputs.
        largest: level.
    """
    power = np.diagonal(moments, axis1=1, axis2=2)
    order = np.argsort(power, axis=1, kind="stable")
    exact = np.take_along_axis(weights, order[:, None, :], axis=2).transpose(0, 2, 1).astype(np.float64)  # (G, K, O)
    step = scale[..., 0].astype(np.float64)
    sorted_ = np.take_along_axis(np.take_along_axis(moments, order[:, :, None], axis=1), order[:, None, :], axis=2)
    damped = sorted_.astype(np.float64)
    count = damped.shape[1]
    at, mean = np.arange(count), power.mean(axis=1)
    damped[:, at, at] += np.where(mean > 0, _DAMPING * mean, 1.0)[:, None]
    factor = np.linalg.cholesky(damped)
    taken_on = np.ascontiguousarray((factor / np.diagonal(factor, axis1=1, axis2=2)[:, None, :]).transpose(0, 2, 1))
    levels, errors = np.empty(exact.shape, np.int8), np.empty(exact.shape)
    for begin in range((count - 1) // _BLOCK * _BLOCK, -1, -_BLOCK):
        end = min(begin + _BLOCK, count)
        wanted = exact[:, begin:end] + taken_on[:, begin:end, end:] @ errors[:, end:]
        for k in range(end - 1, begin - 1, -1):
            moved = wanted[:, k - begin] + (taken_on[:, k, None, k + 1 : end] @ errors[:, k + 1 : end])[:, 0]
            levels[:, k] = chosen = np.clip(np.rint(moved / step), -largest, largest)
            errors[:, k] = exact[:, k] - chosen * step
    return np.take_along_axis(levels.transpose(0, 2, 1), np.argsort(order, axis=1)[:, None, :], axis=2)


def _grouped(layers: Sequence[Layer]) -> Iterator[list[Layer]]:
    """As many at a time as memory is for; one that is too large alone is left as it is."""
    together: list[Layer] = []
    numbers = 0
    for layer in layers:
        own = layer.groups * layer.weights**2
        if own > _MOST_NUMBERS:
            continue
        if together and numbers + own > _MOST_NUMBERS:
            yield together
            together, numbers = [], 0
        together.append(layer)
        numbers += own
    if together:
        yield together
