"""Which layers int8 costs most: each by what it gives in the quantised graph, and each alone by the logits."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from ..errors import ExportError, one_line
from .graph_images import GraphImages
from .held_out import run
from .qdq import heavy_layers
from .quantiser import Quantiser, Ranges

IMAGES = 16
_BATCH = 2  # all layers' outputs are in memory at once
_NAMED = 5


def layer_snr(prepared: Path, quantised: Path, images: GraphImages, scratch: Path) -> dict[str, float]:
    """The signal-to-noise ratio of what each layer gives in the quantised graph, in dB, the worst first.

    10 log10(sum y^2 / sum (y - y~)^2) over images, channels and places, before the activation. The noise is the layer's
    own and what came with its input.

    Raises:
        ExportError: a graph cannot be run with its layers as outputs.
    """
    names = heavy_layers(prepared)
    full, small = (_layer_outputs(path, names, images, scratch / f"{path.stem}.taps") for path in (prepared, quantised))
    signal, noise = np.zeros(len(names)), np.zeros(len(names))
    for expected, found in zip(full, small, strict=True):
        for at, (y, rounded) in enumerate(zip(expected, found, strict=True)):
            signal[at] += np.square(y, dtype=np.float64).sum()
            noise[at] += np.square(y - rounded, dtype=np.float64).sum()
    return _worst_first({name: _decibel(signal[at], noise[at]) for at, name in enumerate(names)})


def rank_layers(quantiser: Quantiser, ranges: Ranges, images: GraphImages, scratch: Path) -> dict[str, float]:
    """The signal-to-noise ratio of the logits when each layer alone is quantised, in dB, the worst first."""
    expected = quantiser.logits(quantiser.source, images)
    signal = float(np.square(expected, dtype=np.float64).sum())
    found = {}
    for name, alone in quantiser.each_alone(ranges, scratch):
        noise = np.square(quantiser.logits(alone, images) - expected, dtype=np.float64).sum()
        found[name] = _decibel(signal, float(noise))
    return _worst_first(found)


def worst_text(snr: Mapping[str, float]) -> str:
    """For people: the first few."""
    return ", ".join(f"{name} {value:.1f} dB" for name, value in list(snr.items())[:_NAMED])


def _layer_outputs(path: Path, layers: list[str], images: GraphImages, tapped: Path) -> Iterator[list[np.ndarray]]:
    """What each of the layers gives, for one batch of images after the other."""
    import onnx
    from onnx import TensorProto, helper

    try:
        model = onnx.load(path)
        outputs = {node.name: node.output[0] for node in model.graph.node}
        taps = [outputs[name] for name in layers]
        del model.graph.output[:]
        model.graph.output.extend(helper.make_tensor_value_info(tap, TensorProto.FLOAT, None) for tap in taps)
        onnx.save(model, tapped)
    except Exception as error:  # onnx raises types of its own
        raise ExportError(f"the layers' outputs cannot be measured: {one_line(error)}") from error
    return run(tapped, images, taps, _BATCH)


def _decibel(signal: float, noise: float) -> float:
    return float("inf") if noise == 0.0 else 10.0 * float(np.log10(max(signal, np.finfo(float).tiny) / noise))


def _worst_first(snr: dict[str, float]) -> dict[str, float]:
    return dict(sorted(snr.items(), key=lambda entry: entry[1]))
