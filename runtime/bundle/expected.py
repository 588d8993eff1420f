"""What the training framework says of a bundle's own photographs, as labels."""

import numpy as np

from ..metrics import sigmoid
from .records import Artifact, GoldenImage, Manifest


def expected_labels(manifest: Manifest, golden: GoldenImage, artifact: Artifact | None = None) -> dict[str, float]:
    """{class: probability} of a golden image's stored logits, the most probable first.

    Args:
        manifest: its classes and thresholds.
        golden: one of its photographs.
        artifact: whose temperature and thresholds to report at; those of the manifest when absent.
    """
    logits = np.array([golden.logits], np.float32)
    point = None if artifact is None else artifact.operating_point
    probabilities = (sigmoid(logits) if point is None else point.probabilities(logits))[0]
    thresholds = manifest.thresholds if point is None else point.thresholds
    order = np.argsort(-probabilities, kind="stable")
    return {manifest.classes[i]: float(probabilities[i]) for i in order if probabilities[i] >= thresholds[i]}
