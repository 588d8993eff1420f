"""What values a network's activations take on calibration images: measured once, for every quantiser."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ExportError, one_line
from .calibrators import BINS, Histogram
from .graph_images import GraphImages
from .held_out import start

_BATCH = 8
# Of each image and tensor, drawn at random: two million fill 2,048 bins; a regular share of a map may be one column.
_VALUES = 4_000


def measure(model: Path, images: GraphImages, scratch: Path, operators: Sequence[str]) -> dict[str, Histogram]:
    """Histograms of every float tensor that an operator of `operators` takes or gives.

    Two passes over the images: exact smallest and largest values first, computed inside the graph, then the counts
    between them, of 4,000 values of each image and tensor, drawn at random.

    Args:
        model: a float32 ONNX file.
        images: what its only input takes.
        scratch: a folder for intermediates.
        operators: ONNX operator types that will be quantised.

    Raises:
        ExportError: the graph cannot be run with its inner tensors as outputs.
    """
    try:
        limits = _limits(model, images, scratch, operators)
        counts = {name: np.zeros(BINS, np.int64) for name in limits}
        for name, values in _inner_values(model, images, scratch, operators):
            counts[name] += np.histogram(values, BINS, limits[name])[0]
    except Exception as error:  # onnx and onnxruntime raise types of their own
        raise ExportError(f"the activations cannot be measured: {one_line(error)}") from error
    return {name: Histogram(low, high, counts[name]) for name, (low, high) in limits.items()}


class _Reader:
    """Batches of images, as onnxruntime's calibrators ask for them."""

    def __init__(self, session: Any, images: GraphImages) -> None:
        takes = session.get_inputs()[0]
        self._feeds = ({takes.name: batch} for batch in images.batches(takes.shape[0], _BATCH))

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)


def _calibrator(model: Path, augmented: Path, operators: Sequence[str], method: str) -> Any:
    """onnxruntime's, which makes inner tensors outputs; the session is ours, of a thread for each core that we have."""
    from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator

    kind = CalibrationMethod[method]
    calibrator = create_calibrator(
        str(model), list(operators), augmented_model_path=str(augmented), calibrate_method=kind
    )
    calibrator.infer_session = start(augmented)
    return calibrator


def _limits(
    model: Path, images: GraphImages, scratch: Path, operators: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """Smallest and largest value of each tensor."""
    calibrator = _calibrator(model, scratch / "minmax.onnx", operators, "MinMax")
    calibrator.collect_data(_Reader(calibrator.infer_session, images))
    found = calibrator.compute_data().items()
    return {name: (float(np.min(data.lowest)), float(np.max(data.highest))) for name, data in found}


def _inner_values(
    model: Path, images: GraphImages, scratch: Path, operators: Sequence[str]
) -> Iterator[tuple[str, np.ndarray]]:
    """(tensor, values float32 (n,)) of each batch."""
    calibrator = _calibrator(model, scratch / "inner.onnx", operators, "Percentile")
    rng = np.random.default_rng(0)
    session = calibrator.infer_session
    names = sorted(calibrator.tensors_to_calibrate)
    reader = _Reader(session, images)
    while (feeds := reader.get_next()) is not None:
        for name, values in zip(names, session.run(names, feeds), strict=True):
            yield name, drawn(values, len(next(iter(feeds.values()))), rng)


def drawn(values: np.ndarray, images: int, rng: np.random.Generator) -> np.ndarray:
    """4,000 values of each image (n,), drawn at random; all where there are no more."""
    most = _VALUES * images
    return values.ravel() if values.size <= most else values.ravel()[rng.integers(values.size, size=most)]
