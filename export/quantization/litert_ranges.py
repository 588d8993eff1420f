"""What values the activations of a .tflite file take on calibration images."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...runtime.backends.litert import start
from ...runtime.backends.litert_facts import read_litert
from ...runtime.device import usable_cores
from ..errors import ExportError, one_line
from .calibrators import BINS, Histogram
from .graph_images import GraphImages
from .ranges import drawn


def measure(source: Path, images: GraphImages) -> dict[str, Histogram]:
    """Histograms of every float activation of a .tflite file.

    Two passes over the images, as `ranges.measure` makes them: exact extremes, then the counts between them.

    Args:
        source: a float32 file that takes one image at a time.
        images: what its only input takes.

    Raises:
        ExportError: LiteRT cannot run it with its inner tensors kept.
    """
    limits: dict[str, tuple[float, float]] = {}
    rng = np.random.default_rng(0)
    try:
        for name, values in _activations(source, images):
            low, high = limits.get(name, (np.inf, -np.inf))
            limits[name] = min(low, float(values.min())), max(high, float(values.max()))
        counts = {name: np.zeros(BINS, np.int64) for name in limits}
        for name, values in _activations(source, images):
            counts[name] += np.histogram(drawn(values, 1, rng), BINS, limits[name])[0]
    except Exception as error:  # its exception types are Python's own
        raise ExportError(f"the activations cannot be measured: {one_line(error)}") from error
    return {name: Histogram(low, high, counts[name]) for name, (low, high) in limits.items()}


def _activations(source: Path, images: GraphImages) -> Iterator[tuple[str, np.ndarray]]:
    """(tensor, values) of each float result of an operator, image after image."""
    data = source.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that keeping inner tensors is for debugging
        interpreter = start(data, num_threads=usable_cores(), experimental_preserve_all_tensors=True)
    made = {name for operator in read_litert(data).operators for name in operator.results}
    kept = {
        tensor["name"]: tensor["index"]
        for tensor in interpreter.get_tensor_details()
        if tensor["name"] in made and tensor["dtype"] is np.float32
    }
    (image,) = interpreter.get_input_details()
    for at in range(len(images)):
        interpreter.set_tensor(image["index"], images[at : at + 1])
        interpreter.invoke()
        for name, place in kept.items():
            values = interpreter.get_tensor(place)
            yield name, values[np.isfinite(values)]  # max pooling's border is -inf
