"""What artifacts say of photographs without labels: each is decoded once and goes through all of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..batches import SkippedImage, decode_batches
from ..bundle.observed import project
from ..errors import DataError, RefusedError
from ..images import ImageSource
from ..parity.soundness import outputs_problem
from ..predictor import Predictor

_SPREAD_FLOOR = 1e-6


@dataclass(frozen=True)
class Scored:
    """What a model says of N photographs.

    Attributes:
        logits: float32 (N, C).
        probabilities: float32 (N, C), those that it reports.
        thresholds: float64 (C,), from which it reports a label.
        projections: float32 (N, 33), see `bundle.observed.project`; None without embeddings.
        shift: float64 (D,), how far the embeddings' mean is from the recorded one, in recorded standard deviations;
            None likewise.
    """

    logits: np.ndarray
    probabilities: np.ndarray
    thresholds: np.ndarray
    projections: np.ndarray | None = None
    shift: np.ndarray | None = None

    @property
    def labels(self) -> np.ndarray:
        """The labels that it reports, bool (N, C)."""
        return self.probabilities >= self.thresholds


@dataclass(frozen=True)
class Photographs:
    """What photographs gave.

    Attributes:
        places: int64 (N,), of those that could be decoded, among the M that were given.
        ids: their names.
        skipped: the others.
        scored: by artifact.
    """

    places: np.ndarray
    ids: tuple[str, ...]
    skipped: tuple[SkippedImage, ...]
    scored: tuple[Scored, ...]


def score_photographs(
    predictors: Sequence[Predictor],
    images: Sequence[ImageSource],
    ids: Sequence[str],
    *,
    recorded: np.ndarray | None,
    batch_size: int,
    max_bad_share: float,
    progress: Callable[[int, int], None] | None,
) -> Photographs:
    """Run loaded artifacts of one bundle.

    Args:
        predictors: whose outputs are wanted.
        images: M sources.
        ids: their M names.
        recorded: float32 (2, D), the first artifact's recorded embeddings; None to leave its embeddings alone.
        batch_size: images per inference.
        max_bad_share: share of undecodable images that is tolerated.
        progress: called with (images done, M).

    Raises:
        DataError: too many images, or all, are undecodable.
        RefusedError: an artifact gives no numbers.
        InferenceError: it gives up.
    """
    batches = decode_batches(
        images, predictors[0].manifest.preprocessing, batch_size, ids=ids, max_bad_share=max_bad_share
    )
    kept: list[int] = []
    runs = [_Run(predictor, recorded if place == 0 else None) for place, predictor in enumerate(predictors)]
    for batch in batches:
        kept.extend(map(int, batch.indices))
        for run in runs:
            run.add(batch.images)
        if progress is not None:
            progress(kept[-1] + 1, len(images))
    if not kept:
        raise DataError(f"none of {len(images)} images can be decoded: {batches.summary()}")
    return Photographs(
        places=np.array(kept),
        ids=tuple(ids[place] for place in kept),
        skipped=tuple(batches.skipped),
        scored=tuple(run.scored() for run in runs),
    )


class _Run:
    """One artifact's outputs, batch after batch; of embeddings only what is needed of them is kept."""

    def __init__(self, predictor: Predictor, recorded: np.ndarray | None) -> None:
        self._predictor, self._recorded = predictor, recorded
        self._logits: list[np.ndarray] = []
        self._probabilities: list[np.ndarray] = []
        self._projections: list[np.ndarray] = []
        self._total: np.ndarray | float = 0.0

    def add(self, images: np.ndarray) -> None:
        artifact = self._predictor.artifact
        logits, probabilities, embeddings = self._predictor.infer_embedded(images)
        if problem := outputs_problem(logits, probabilities):
            raise RefusedError(f"{artifact.name}: {problem}: `edgedistill selftest` tells which artifacts are sound.")
        self._logits.append(logits)
        self._probabilities.append(artifact.calibrated(logits, probabilities))
        if self._recorded is not None and embeddings is not None:
            self._projections.append(project(embeddings, self._recorded))
            self._total = self._total + embeddings.sum(axis=0, dtype=np.float64)

    def scored(self) -> Scored:
        manifest, artifact = self._predictor.manifest, self._predictor.artifact
        logits, projections, shift = np.concatenate(self._logits), None, None
        if self._projections and self._recorded is not None:
            projections = np.concatenate(self._projections)
            mean, spread = self._recorded.astype(np.float64)
            shift = (self._total / len(logits) - mean) / np.maximum(spread, _SPREAD_FLOOR)
        return Scored(
            logits=logits,
            probabilities=np.concatenate(self._probabilities),
            thresholds=np.asarray(manifest.thresholds_of(artifact)),
            projections=projections,
            shift=shift,
        )
