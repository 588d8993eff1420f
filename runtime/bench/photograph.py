"""Inside the measured process: the way of one photograph from its bytes to its labels, step by step."""

import statistics
from functools import partial

import numpy as np

from ..backends.base import Backend
from ..bundle import Artifact, Manifest
from ..predictor import Prediction, Predictor
from ..preprocess import open_image, resize
from .measuring import timed
from .messages import Photograph, Timed


def time_photograph(manifest: Manifest, artifact: Artifact, backend: Backend, request: Photograph) -> Timed:
    """Medians over the repeats of each step, and of the whole as `Predictor.predict` does it.

    Raises:
        DataError: the photograph cannot be decoded.
    """
    predictor = Predictor(manifest, artifact, backend)
    thresholds = manifest.thresholds_of(artifact)
    rows = []
    image = open_image(request.encoded)
    for _ in range(1 + request.repeats):
        decode_ms, image = timed(partial(open_image, request.encoded))
        resize_ms, pixels = timed(partial(resize, image, manifest.preprocessing))
        infer_ms, outputs = timed(partial(predictor.infer, pixels[None]))
        post_ms, _ = timed(partial(_labels, manifest, artifact, thresholds, outputs))
        total_ms, _ = timed(lambda: predictor.predict(request.encoded)[0].labels)
        rows.append((decode_ms, resize_ms, infer_ms, post_ms, total_ms))
    decode_ms, resize_ms, infer_ms, post_ms, total_ms = map(statistics.median, zip(*rows[1:], strict=True))
    return Timed(image.width, image.height, decode_ms, resize_ms, infer_ms, post_ms, total_ms)


def _labels(
    manifest: Manifest, artifact: Artifact, thresholds: tuple[float, ...], outputs: tuple[np.ndarray, np.ndarray]
) -> dict[str, float]:
    """From a graph's outputs to the labels that `Predictor.predict` reports."""
    (row,) = artifact.calibrated(*outputs)
    return Prediction(source="", classes=manifest.classes, thresholds=thresholds, probabilities=row).labels
