"""What a bundle holds to compare a device's photographs with."""

from typing import NamedTuple

import numpy as np

from ..bundle.observed import PROJECTED
from ..bundle.opened import Bundle
from ..bundle.records import Artifact, FileEntry
from ..errors import BundleError
from ..metrics import sigmoid
from ..tensors import EMBEDDING

NOTHING = (
    "the bundle recorded no outputs of its own: export it again with validation images (`--validation`), and `check` "
    "can tell drift"
)


class Recorded(NamedTuple):
    """An artifact's outputs on images of the time of export.

    Attributes:
        source: in words.
        images: how many there were.
        logits: float32 (K, C), equally likely values of each class's logits.
        reported: float64 (C,), share of images of which each label was reported.
        embedding: float32 (2, D), see `bundle.observed.moments`; None without.
        projections: float32 (K', 33), quantiles; None without.
    """

    source: str
    images: int
    logits: np.ndarray
    reported: np.ndarray
    embedding: np.ndarray | None = None
    projections: np.ndarray | None = None


def read_recorded(bundle: Bundle, artifact: Artifact) -> Recorded | None:
    """The artifact's own outputs on validation images, else the training framework's on a split that the bundle holds.

    Raises:
        BundleError: a file is altered, or holds something else.
    """
    classes, observed = len(bundle.manifest.classes), artifact.observed
    if observed is not None:
        return Recorded(
            source=f"its own scores of {observed.images:,} images of {observed.dataset}",
            images=observed.images,
            logits=_array(bundle, observed.logits, classes),
            reported=np.asarray(observed.reported),
            embedding=_embedding(bundle, observed.embedding),
            projections=None if observed.projections is None else _array(bundle, observed.projections, PROJECTED),
        )
    for reference in bundle.manifest.references:
        logits = bundle.reference_logits(reference.fingerprint)
        assert logits is not None
        logits = logits[np.isfinite(logits).all(axis=1)]
        if len(logits):
            shown = sigmoid(logits) >= np.asarray(bundle.manifest.thresholds)
            return Recorded(
                source=f"the training framework's scores of {len(logits):,} images of {reference.dataset}",
                images=len(logits),
                logits=logits,
                reported=shown.mean(axis=0),
            )
    return None


def _embedding(bundle: Bundle, entry: FileEntry | None) -> np.ndarray | None:
    if entry is None:
        return None
    features = [spec.shape[1] for spec in bundle.manifest.outputs if spec.kind == EMBEDDING]
    known = features[0] if features and isinstance(features[0], int) else None
    found = _array(bundle, entry, known)
    if len(found) != 2 or (found[1] < 0).any():
        raise BundleError(f"{bundle.label(entry)}: no mean and standard deviation. Export the bundle again.")
    return found


def _array(bundle: Bundle, entry: FileEntry, columns: int | None) -> np.ndarray:
    found = bundle.array(entry, columns)
    if not len(found) or not np.isfinite(found).all():
        raise BundleError(f"{bundle.label(entry)}: is empty, or holds NaN or infinity. Export the bundle again.")
    return found
