"""What an artifact said of its validation images: what a device without labels compares its own photographs with."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from ..record import Record
from .file_entry import FileEntry

MOST_LEVELS = 256  # quantiles of a distribution: finer than what a few thousand images tell
PROJECTIONS = 32
PROJECTED = PROJECTIONS + 1  # columns of what `project` gives
_SPREAD_FLOOR = 1e-6
_SEED = b"edgedistill embedding projection"


class Observed(Record):
    """An artifact's outputs on validation images, summed up without the images.

    Attributes:
        dataset: name of the split.
        fingerprint: Dataset.fingerprint() of the images as they are listed.
        images: how many of them could be decoded.
        logits: a .npy of float32 (K, C): of each class's logits the quantiles at (k + 1/2) / K; of at most K images
            their sorted logits.
        reported: per class, the share of the images of which its label is reported.
        embedding: a .npy of float32 (2, D): mean and standard deviation of each feature; None where the graph gives no
            embedding.
        projections: a .npy of float32 (K, 33): quantiles of what `project` makes of the embeddings; None likewise.
    """

    dataset: str
    fingerprint: str
    images: int
    logits: FileEntry
    reported: tuple[float, ...]
    embedding: FileEntry | None = None
    projections: FileEntry | None = None

    def files(self) -> list[FileEntry]:
        """Those that it consists of."""
        return [entry for entry in (self.logits, self.embedding, self.projections) if entry is not None]


def observed_problems(classes: Sequence[str], observed: Observed) -> Iterator[str]:
    """What is wrong with a decoded record, in words."""
    if observed.images < 1:
        yield f"outputs observed on {observed.images} images"
    if len(observed.reported) != len(classes):
        yield f"{len(observed.reported)} observed shares for {len(classes)} classes"
    if not all(0 <= share <= 1 for share in observed.reported):
        yield "an observed share that is not within 0 and 1"
    if (observed.embedding is None) != (observed.projections is None):
        yield "an observed embedding without its projections, or the other way round"


def quantiles(values: np.ndarray) -> np.ndarray:
    """Float32 (K, columns) of values (N, columns), K being N and at most `MOST_LEVELS`: see `Observed.logits`."""
    levels = min(len(values), MOST_LEVELS)
    return np.quantile(values, (np.arange(levels) + 0.5) / levels, axis=0, method="hazen").astype(np.float32)


def moments(embeddings: np.ndarray) -> np.ndarray:
    """Float32 (2, D) of embeddings (N, D): their mean and standard deviation."""
    return np.stack([embeddings.mean(axis=0), embeddings.std(axis=0)]).astype(np.float32)


def project(embeddings: np.ndarray, recorded: np.ndarray) -> np.ndarray:
    """Float32 (N, 33): sums of the standardised features with random signs, and the distance from the recorded mean.

    A test of each of a thousand features must correct for a thousand; a few random sums keep the distances between
    embeddings (Johnson and Lindenstrauss), and are compared one by one as in S. Rabanser et al., NeurIPS 2019. The
    signs are the bits of SHAKE-256, the same in every language.

    Args:
        embeddings: float32 (N, D).
        recorded: float32 (2, D), from `moments`.
    """
    mean, spread = recorded.astype(np.float64)
    standard = (embeddings - mean) / np.maximum(spread, _SPREAD_FLOOR)
    features = standard.shape[1]
    bits = np.frombuffer(hashlib.shake_256(_SEED).digest(-(-features * PROJECTIONS // 8)), np.uint8)
    signs = 2.0 * np.unpackbits(bits)[: features * PROJECTIONS].reshape(features, PROJECTIONS) - 1.0
    scale = 1.0 / np.sqrt(features)
    distance = np.sqrt((standard**2).mean(axis=1, keepdims=True))
    return np.concatenate([standard @ signs * scale, distance], axis=1).astype(np.float32)
