"""Adaptive rounding: what one weight loses to its rounding, the weights after it make up for.

Rounding each weight to its nearest level is best for the weights, not for what the layer gives: inputs go together, and
an error at one of them can be undone at another. Weights are rounded one after the other, and after each the ones that
are left move so that the layer's output changes least over calibration images.

Source: E. Frantar et al., GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers, ICLR 2023,
equations 2 and 3, with the weights in the order of their inputs' power; for convolutions as in its predecessor (Optimal
Brain Compression, NeurIPS 2022), each patch of a map is an input. The mean of the inputs is taken off: what rounding
does to the mean of the output, bias correction takes back.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import ExportError, one_line
from .graph_images import GraphImages
from .held_out import run
from .int8_weights import INT8_LEVELS, LAYERS, Int8Weight

_DAMPING = 0.01  # of the inputs' mean power, added to each: what a few images cannot tell stays near its own value
_BLOCK = 128  # columns after which the others are brought up to date at once
_INPUTS_PER_WEIGHT = 4  # patches for each weight of an output channel
_LEAST_PATCHES = 4096
_MOST_NUMBERS = 1 << 26  # of all moments that are held at once
_BATCH = 8


def adapt_levels(
    prepared: Path,
    weights: Mapping[str, Int8Weight],
    images: GraphImages,
    scratch: Path,
    largest: int = INT8_LEVELS,
) -> dict[str, np.ndarray]:
    """Other levels for the weights, int8 by layer.

    Args:
        prepared: the float graph, from `qdq.prepare`.
        weights: of its layers, from `read_weights`.
        images: whose inputs of each layer count.
        scratch: a folder.
        largest: level that there is on each side of zero.

    Raises:
        ExportError: the graph cannot be run with its layers' inputs as outputs.
    """
    rng = np.random.default_rng(0)
    levels = {}
    for layers in _grouped(_layers(prepared, weights)):
        for layer, moments in zip(layers, _moments(prepared, layers, images, scratch, rng), strict=True):
            weight = weights[layer.name]
            scale = np.broadcast_to(weight.scale, weight.exact.shape)
            found = round_adaptively(layer.rows(weight.exact), layer.rows(scale)[..., :1], moments, largest)
            levels[layer.name] = layer.shaped(found, weight.exact.shape)
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
    left, scale = weights.astype(np.float64), scale.astype(np.float64)
    power = np.diagonal(moments, axis1=1, axis2=2)
    order = np.argsort(-power, axis=1, kind="stable")
    left = np.take_along_axis(left, order[:, None, :], axis=2)
    sorted_ = np.take_along_axis(np.take_along_axis(moments, order[:, :, None], axis=1), order[:, None, :], axis=2)
    damped = sorted_.astype(np.float64)
    at = np.arange(damped.shape[1])
    mean = power.mean(axis=1)
    damped[:, at, at] += np.where(mean > 0, _DAMPING * mean, 1.0)[:, None]
    upper = np.linalg.cholesky(np.linalg.inv(damped)).transpose(0, 2, 1)
    levels = np.empty(left.shape, np.int8)
    for begin in range(0, len(at), _BLOCK):
        end = min(begin + _BLOCK, len(at))
        errors = np.empty((*left.shape[:2], end - begin))
        for k in range(begin, end):
            chosen = np.clip(np.rint(left[..., k : k + 1] / scale), -largest, largest)
            levels[..., k] = chosen[..., 0]
            error = (left[..., k] - (chosen * scale)[..., 0]) / upper[:, k, k, None]
            errors[..., k - begin] = error
            left[..., k + 1 : end] -= error[..., None] * upper[:, None, k, k + 1 : end]
        left[..., end:] -= errors @ upper[:, begin:end, end:]
    return np.take_along_axis(levels, np.argsort(order, axis=1)[:, None, :], axis=2)


@dataclass(frozen=True)
class _Layer:
    """A convolution or matrix product.

    Attributes:
        name: of the node.
        takes: the tensor that it reads.
        groups: in which it divides its channels.
        weights: of an output channel.
        transposed: whether a matrix product holds its weights as (O, K).
        kernel: of a convolution; empty for a matrix product.
        strides, dilations: of a convolution.
        pads: at the beginnings of the axes, then at their ends.
    """

    name: str
    takes: str
    groups: int
    weights: int
    transposed: bool = True
    kernel: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    pads: tuple[int, ...] = ()

    def rows(self, weight: np.ndarray) -> np.ndarray:
        """(G, O, K) of a weight as the graph has it."""
        turned = weight if self.transposed else weight.T
        return turned.reshape(self.groups, -1, self.weights)

    def shaped(self, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """The reverse."""
        if self.transposed:
            return rows.reshape(shape)
        return np.ascontiguousarray(rows.reshape(shape[::-1]).T)

    def patches(self, taken: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """(G, n, K): what the layer multiplies for `count` outputs of each image, drawn at random; all if no more."""
        if not self.kernel:
            return taken.reshape(1, -1, self.weights)
        axes = len(self.kernel)
        around = list(zip(self.pads[:axes], self.pads[axes:], strict=True))
        padded = np.pad(taken, [(0, 0), (0, 0), *around])
        reach = [dilation * (size - 1) for dilation, size in zip(self.dilations, self.kernel, strict=True)]
        outputs = [
            (size - far - 1) // stride + 1
            for size, far, stride in zip(padded.shape[2:], reach, self.strides, strict=True)
        ]
        total = int(np.prod(outputs))
        chosen = np.arange(total) if total <= count else rng.integers(total, size=count)
        places = np.unravel_index(chosen, outputs)
        offsets = np.unravel_index(np.arange(int(np.prod(self.kernel))), self.kernel)
        index = [
            place[:, None] * stride + offset[None, :] * dilation
            for place, offset, stride, dilation in zip(places, offsets, self.strides, self.dilations, strict=True)
        ]
        flat = np.ravel_multi_index(index, padded.shape[2:])  # (n, kernel)
        found = padded.reshape(*padded.shape[:2], -1)[:, :, flat]
        images, channels, drawn, taps = found.shape
        grouped = found.reshape(images, self.groups, channels // self.groups, drawn, taps)
        return grouped.transpose(1, 0, 3, 2, 4).reshape(self.groups, images * drawn, self.weights)


def _layers(prepared: Path, weights: Mapping[str, Int8Weight]) -> list[_Layer]:
    import onnx

    found = []
    for node in onnx.load(prepared).graph.node:
        if node.op_type not in LAYERS or node.name not in weights:
            continue
        set_ = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        shape = weights[node.name].exact.shape
        if node.op_type == "Gemm":
            if not set_.get("transA") and set_.get("alpha", 1.0) == 1.0:
                turned = bool(set_.get("transB"))
                found.append(_Layer(node.name, node.input[0], 1, shape[1 if turned else 0], turned))
            continue
        if set_.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
            continue
        axes = len(shape) - 2
        found.append(
            _Layer(
                name=node.name,
                takes=node.input[0],
                groups=set_.get("group", 1),
                weights=int(np.prod(shape[1:])),
                kernel=tuple(shape[2:]),
                strides=tuple(set_.get("strides", [1] * axes)),
                dilations=tuple(set_.get("dilations", [1] * axes)),
                pads=tuple(set_.get("pads", [0] * 2 * axes)),
            )
        )
    return found


def _grouped(layers: list[_Layer]) -> Iterator[list[_Layer]]:
    """As many at a time as memory is for; one that is too large alone is left as it is."""
    together: list[_Layer] = []
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


def _moments(
    prepared: Path, layers: list[_Layer], images: GraphImages, scratch: Path, rng: np.random.Generator
) -> list[np.ndarray]:
    """The covariance of each layer's inputs, float32 (G, K, K)."""
    import onnx
    from onnx import TensorProto, helper

    try:
        model = onnx.load(prepared)
        names = list(dict.fromkeys(layer.takes for layer in layers))
        own = {value.name for value in model.graph.input}
        taps = [name for name in names if name not in own]
        del model.graph.output[:]
        model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in taps)
        path = scratch / "inputs.onnx"
        onnx.save(model, path)
    except Exception as error:  # onnx raises types of its own
        raise ExportError(f"the layers' inputs cannot be measured: {one_line(error)}") from error
    sums = [np.zeros((layer.groups, layer.weights), np.float64) for layer in layers]
    squares = [np.zeros((layer.groups, layer.weights, layer.weights), np.float32) for layer in layers]
    counts = [0 for _ in layers]
    wanted = [-(-max(_LEAST_PATCHES, _INPUTS_PER_WEIGHT * layer.weights) // len(images)) for layer in layers]
    for batch in run(path, images, taps, _BATCH):
        taken = dict(zip(taps, batch, strict=True))
        for at, layer in enumerate(layers):
            patches = layer.patches(taken[layer.takes], wanted[at], rng)
            sums[at] += patches.sum(axis=1, dtype=np.float64)
            squares[at] += patches.transpose(0, 2, 1) @ patches
            counts[at] += patches.shape[1]
    for at, total in enumerate(sums):
        mean = (total / counts[at]).astype(np.float32)
        squares[at] /= counts[at]
        squares[at] -= mean[:, :, None] * mean[:, None, :]
    return squares
