"""A model's pooled features on a dataset: what image retrieval searches."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...runtime.batches import decode_batches
from ...runtime.datasets import Dataset
from ...runtime.errors import ConfigError
from ...runtime.preprocess import Preprocessing
from ..models import Classifier, MergedTeacher
from .evaluate import Outputs, decoding_threads, require_finite, run_batches


@dataclass(frozen=True)
class Features(Outputs):
    """Outputs with the representation that they were read from.

    Attributes:
        pooled: float32 (N, F), the last feature map averaged over its positions, whatever the head pools.
    """

    pooled: np.ndarray


def predict_features(
    model: Classifier | MergedTeacher,
    dataset: Dataset,
    preprocessing: Preprocessing,
    *,
    batch_size: int = 64,
    max_bad_share: float = 0.01,
    progress: Callable[[int, int], None] | None = None,
) -> Features:
    """As `predict_logits` in one process, with the pooled features of the same forward passes.

    Raises:
        ConfigError: `model` is merged from several networks and has no features of its own, or shows none.
        DataError: more images than `max_bad_share` allows cannot be decoded.
        NotFiniteError: logits are NaN or infinite.
    """
    if isinstance(model, MergedTeacher):
        raise ConfigError("a teacher merged from several networks has no features of its own: leave out --retrieval.")
    if not model.has_maps:
        raise ConfigError("a network of which only the logits are known has no features: leave out --retrieval.")
    batches = decode_batches(
        dataset.images,
        preprocessing,
        batch_size,
        ids=dataset.ids,
        threads=decoding_threads(),
        max_bad_share=max_bad_share,
    )
    logits, pooled, kept = [], [], []
    for rows, output in run_batches(model, batches):
        logits.append(output.logits.float().cpu().numpy())
        assert output.pooled is not None  # every Classifier gives it
        pooled.append(output.pooled.float().cpu().numpy())
        kept.append(rows)
        if progress:
            progress(sum(map(len, kept)), len(dataset))
    rows = np.concatenate(kept)
    images = dataset.subset(rows) if batches.skipped else dataset
    require_finite(np.concatenate(logits), images)
    return Features(
        logits=np.concatenate(logits),
        dataset=images,
        skipped=[f"{image.id}: {image.reason}" for image in batches.skipped],
        listed=dataset,
        rows=rows,
        pooled=np.concatenate(pooled),
    )
