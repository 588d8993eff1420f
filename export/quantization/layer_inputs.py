"""What the layers of a float graph take on calibration images: patches of maps, and how their values go together."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import ExportError, one_line
from .graph_images import GraphImages
from .held_out import run
from .int8_weights import LAYERS, Int8Weight

_INPUTS_PER_WEIGHT = 4  # patches for each weight of an output channel
_LEAST_PATCHES = 4096
_BATCH = 8


@dataclass(frozen=True)
class Layer:
    """A convolution or matrix product.

    Attributes:
        name: of the node.
        takes: the tensor that it reads.
        groups: in which it divides its channels.
        weights: of an output channel.
        axes: of its weights as the graph has them, in the order (O, I, ...).
        kernel: of a convolution; empty for a matrix product.
        strides, dilations: of a convolution.
        pads: at the beginnings of the axes, then at their ends.
        channels_last: whether its maps are (N, ..., C) instead of (N, C, ...).
    """

    name: str
    takes: str
    groups: int
    weights: int
    axes: tuple[int, ...]
    kernel: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    pads: tuple[int, ...] = ()
    channels_last: bool = False

    def rows(self, weight: np.ndarray) -> np.ndarray:
        """(G, O, K) of a weight as the graph has it."""
        return weight.transpose(self.axes).reshape(self.groups, -1, self.weights)

    def shaped(self, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """The reverse."""
        turned = rows.reshape([shape[axis] for axis in self.axes])
        return np.ascontiguousarray(turned.transpose(np.argsort(self.axes)))

    def patches(self, taken: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """(G, n, K): what the layer multiplies for `count` outputs of each image, drawn at random; all if no more."""
        if not self.kernel:
            return taken.reshape(1, -1, self.weights)
        if self.channels_last:
            taken = np.moveaxis(taken, -1, 1)
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


def read_layers(prepared: Path, weights: Mapping[str, Int8Weight]) -> list[Layer]:
    """The layers of a float graph whose patches can be told.

    Args:
        prepared: the graph, from `qdq.prepare`.
        weights: of layers that are in int8; others are left out.
    """
    import onnx

    found = []
    for node in onnx.load(prepared).graph.node:
        if node.op_type not in LAYERS or node.name not in weights:
            continue
        set_ = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        shape = weights[node.name].exact.shape
        if node.op_type == "Gemm":
            if not set_.get("transA") and set_.get("alpha", 1.0) == 1.0:
                order = (0, 1) if set_.get("transB") else (1, 0)
                found.append(Layer(node.name, node.input[0], 1, shape[order[1]], order))
            continue
        if set_.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
            continue
        axes = len(shape) - 2
        found.append(
            Layer(
                name=node.name,
                takes=node.input[0],
                groups=set_.get("group", 1),
                weights=int(np.prod(shape[1:])),
                axes=tuple(range(len(shape))),
                kernel=tuple(shape[2:]),
                strides=tuple(set_.get("strides", [1] * axes)),
                dilations=tuple(set_.get("dilations", [1] * axes)),
                pads=tuple(set_.get("pads", [0] * 2 * axes)),
            )
        )
    return found


def taken_values(
    prepared: Path, names: Sequence[str], images: GraphImages, scratch: Path
) -> Iterator[dict[str, np.ndarray]]:
    """What tensors of a float graph hold, by name, for one batch of images after the other.

    Raises:
        ExportError: the graph cannot be run with these as outputs.
    """
    import onnx
    from onnx import TensorProto, helper

    try:
        model = onnx.load(prepared)
        own = {value.name for value in model.graph.input}
        taps = {name: f"{name}_as_taken" if name in own else name for name in names}  # an input is no output
        model.graph.node.extend(helper.make_node("Identity", [name], [taps[name]]) for name in names if name in own)
        del model.graph.output[:]
        model.graph.output.extend(helper.make_tensor_value_info(tap, TensorProto.FLOAT, None) for tap in taps.values())
        path = scratch / "inputs.onnx"
        onnx.save(model, path)
    except Exception as error:  # onnx raises types of its own
        raise ExportError(f"the layers' inputs cannot be measured: {one_line(error)}") from error
    for batch in run(path, images, list(taps.values()), _BATCH):
        yield dict(zip(taps, batch, strict=True))


def input_moments(
    layers: Sequence[Layer], batches: Iterable[Mapping[str, np.ndarray]], images: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """The covariance of each layer's inputs, float32 (G, K, K).

    Args:
        layers: all their covariances are in memory at once.
        batches: the tensors that they read, by name, batch after batch.
        images: how many these are of in all.
        rng: draws the patches.
    """
    moments = [_Moments(layer) for layer in layers]
    wanted = [-(-max(_LEAST_PATCHES, _INPUTS_PER_WEIGHT * layer.weights) // images) for layer in layers]
    for taken in batches:
        for found, layer, count in zip(moments, layers, wanted, strict=True):
            found.add(layer.patches(taken[layer.takes], count, rng))
    return [found.covariance() for found in moments]


class _Moments:
    """Of one layer's inputs. A product of matrices for each batch of few patches would be bound by memory."""

    def __init__(self, layer: Layer) -> None:
        self._together = layer.weights
        self._sum = np.zeros((layer.groups, layer.weights), np.float64)
        self._squares = np.zeros((layer.groups, layer.weights, layer.weights), np.float32)
        self._waiting: list[np.ndarray] = []
        self._count = self._waits = 0

    def add(self, patches: np.ndarray) -> None:
        """Patches (G, n, K)."""
        self._waiting.append(patches)
        self._waits += patches.shape[1]
        if self._waits >= self._together:
            self._take()

    def covariance(self) -> np.ndarray:
        """(G, K, K) of all that were added."""
        self._take()
        mean = (self._sum / self._count).astype(np.float32)
        self._squares /= self._count
        self._squares -= mean[:, :, None] * mean[:, None, :]
        return self._squares

    def _take(self) -> None:
        if not self._waiting:
            return
        patches = np.concatenate(self._waiting, axis=1)
        self._sum += patches.sum(axis=1, dtype=np.float64)
        self._squares += patches.transpose(0, 2, 1) @ patches
        self._count += self._waits
        self._waiting, self._waits = [], 0
