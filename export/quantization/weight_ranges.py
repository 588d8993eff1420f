"""Whether a layer's weights suit 8 bits: how far the largest stands out, and what rounding leaves of the rest."""

from pathlib import Path

import numpy as np

from ...runtime.record import Record
from ..errors import ExportError, one_line
from .qdq_graph import HEAVY

LOW_SNR = 30.0  # dB; below, rounding adds more than a thousandth of a layer's power
_LEVELS = 127


class WeightRange(Record):
    """Of a layer's weights, rounded with a scale for each output channel.

    Attributes:
        crest: the largest |weight| of a channel over the root of their mean square, in the channel where that is most.
        snr: 10 log10 of the channels' mean of (power of the weights / power of the rounding errors), in dB, where the
            mean is that of the inverse: a factor for each channel, such as a BatchNorm's, changes nothing.
    """

    crest: float
    snr: float


def weight_range(weight: np.ndarray) -> WeightRange | None:
    """Of weights (O, ...); channels that are zero do not count, and None where all are."""
    channels = weight.reshape(len(weight), -1).astype(np.float64)
    largest = np.abs(channels).max(axis=1, keepdims=True)
    channels, largest = channels[largest[:, 0] > 0], largest[largest[:, 0] > 0]
    if not len(channels):
        return None
    power = np.square(channels).mean(axis=1)
    scale = largest / _LEVELS
    noise = np.square(np.rint(channels / scale) * scale - channels).mean(axis=1) / power
    snr = float("inf") if not noise.any() else -10.0 * float(np.log10(noise.mean()))
    return WeightRange(crest=float((largest[:, 0] / np.sqrt(power)).max()), snr=snr)


def low_ranges(prepared: Path) -> str:
    """For people: the layers of a prepared ONNX graph below `LOW_SNR`, the worst first; empty where there is none.

    Raises:
        ExportError: the graph cannot be read.
    """
    import onnx
    from onnx import numpy_helper

    try:
        graph = onnx.load(prepared).graph
        weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    except Exception as error:  # onnx raises types of its own
        raise ExportError(f"the weights cannot be read: {one_line(error)}") from error
    found = {}
    for node in graph.node:
        weight = weights.get(node.input[1]) if node.op_type in HEAVY else None
        if weight is None:
            continue
        transposed = node.op_type != "Conv" and not any(a.name == "transB" and a.i for a in node.attribute)
        found[node.name] = weight_range(np.moveaxis(weight, -1, 0) if transposed else weight)
    low = sorted((of.snr, name) for name, of in found.items() if of is not None and of.snr < LOW_SNR)
    if not low:
        return ""
    snr, name = low[0]
    return f"{len(low)} layers keep less than {LOW_SNR:g} dB in 8 bits, the least {name}: {snr:.1f} dB"
