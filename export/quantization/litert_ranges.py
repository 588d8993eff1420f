"""What values the activations of a .tflite file take on calibration images."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...runtime.backends.litert_facts import read_litert
from .calibrators import BINS, Histogram
from .graph_images import GraphImages
from .litert_tensors import inner_values
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
    for name, values in _activations(source, images):
        least, most = float(values.min()), float(values.max())
        if not np.isfinite([least, most]).all():  # max pooling's border is -inf
            finite = _finite(values)
            if not finite.size:
                continue
            least, most = float(finite.min()), float(finite.max())
        low, high = limits.get(name, (np.inf, -np.inf))
        limits[name] = min(low, least), max(high, most)
    counts = {name: np.zeros(BINS, np.int64) for name in limits}
    for name, values in _activations(source, images):
        if name in limits:
            counts[name] += np.histogram(_finite(drawn(values, 1, rng)), BINS, limits[name])[0]
    return {name: Histogram(low, high, counts[name]) for name, (low, high) in limits.items()}


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def _activations(source: Path, images: GraphImages) -> Iterator[tuple[str, np.ndarray]]:
    """(tensor, values) of each float result of an operator, image after image."""
    made = {name for operator in read_litert(source.read_bytes()).operators for name in operator.results}
    for found in inner_values(source, images, made):
        yield from ((name, values) for name, values in found.items() if values.dtype == np.float32 and values.size)
