"""What an artifact said of its validation images, stored so that `check` can compare a device's photographs with it."""

from pathlib import Path

import numpy as np

from ..runtime.bundle import FileEntry, Observed, OperatingPoint, describe_file
from ..runtime.bundle.observed import moments, project, quantiles
from .running_apart import Ran


def write_observed(name: str, ran: Ran, point: OperatingPoint, root: Path) -> Observed:
    """Store the distributions of logits and embeddings below `root`/reference/observed/.

    Args:
        name: the artifact's.
        ran: its outputs on the images of its operating point.
        point: says the images, and which labels are reported.
        root: the bundle's folder.
    """
    folder = root / "reference" / "observed"
    folder.mkdir(parents=True, exist_ok=True)

    def stored(what: str, values: np.ndarray) -> FileEntry:
        path = folder / f"{name}.{what}.npy"
        np.save(path, values, allow_pickle=False)
        return describe_file(path, root)

    embedding = projections = None
    if ran.embeddings is not None:
        summed = moments(ran.embeddings)
        embedding = stored("embedding", summed)
        projections = stored("projections", quantiles(project(ran.embeddings, summed)))
    reported = point.probabilities(ran.logits) >= np.asarray(point.thresholds)
    return Observed(
        dataset=point.dataset,
        fingerprint=point.fingerprint,
        images=point.images,
        logits=stored("logits", quantiles(ran.logits)),
        reported=tuple(map(float, reported.mean(axis=0))),
        embedding=embedding,
        projections=projections,
    )
