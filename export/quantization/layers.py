"""Which layers int8 costs most: each by what it gives in the quantised graph, and each alone by the logits."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
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

    Over images, channels and places, before the activation. The noise is the layer's own and what came with its input.

    Raises:
        ExportError: a graph cannot be run with its layers as outputs.
    """
    names = heavy_layers(prepared)
    return snr_of(
        *(_layer_outputs(path, names, images, scratch / f"{path.stem}.taps") for path in (prepared, quantised))
    )


def snr_of(full: Iterable[Mapping[str, np.ndarray]], small: Iterable[Mapping[str, np.ndarray]]) -> dict[str, float]:
    """The signal-to-noise ratio of each layer in dB, the worst first: 10 log10(sum y^2 / sum (y - y~)^2).

    Args:
        full: the layers' outputs y by name, batch after batch.
        small: the same of the quantised graph, y~.
    """
    signal, noise = Counter[str](), Counter[str]()
    for expected, found in zip(full, small, strict=True):
        for name, y in expected.items():
            if name not in found:
                continue
            signal[name] += np.square(y, dtype=np.float64).sum()
            noise[name] += np.square(y - found[name], dtype=np.float64).sum()
    return _worst_first({name: _decibel(signal[name], noise[name]) for name in signal})


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


def _layer_outputs(path: Path, layers: list[str], images: GraphImages, tapped: Path) -> Iterator[dict[str, np.ndarray]]:
    """What each of the layers gives, by name, for one batch of images after the other."""
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
    for batch in run(tapped, images, taps, _BATCH):
        yield dict(zip(layers, batch, strict=True))


def _decibel(signal: float, noise: float) -> float:
    return float("inf") if noise == 0.0 else 10.0 * float(np.log10(max(signal, np.finfo(float).tiny) / noise))


def _worst_first(snr: dict[str, float]) -> dict[str, float]:
    return dict(sorted(snr.items(), key=lambda entry: entry[1]))
