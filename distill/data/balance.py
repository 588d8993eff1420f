"""What rare classes are given: a weight in the loss, or a larger share of the images that are shown."""

import math
from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

import numpy as np
from msgspec import Meta

from ...runtime.datasets import Dataset
from ...runtime.datasets.base import POSITIVE, UNKNOWN
from ...runtime.errors import ConfigError

BETA = 0.999
Weight: TypeAlias = Annotated[float, Meta(ge=0)]
ClassWeights: TypeAlias = Literal["inverse_frequency", "effective_number"] | dict[str, Weight]


def class_weights(chosen: ClassWeights, dataset: Dataset, *, where: str) -> tuple[float, ...]:
    """One weight for each class, for its present and absent labels alike; chosen by frequency, their mean is 1.

    Args:
        chosen: "inverse_frequency", the known labels of a class over its present ones; "effective_number", (1 - beta) /
            (1 - beta^n) of its n present labels with beta 0.999 (Cui et al., CVPR 2019, Eq. 4); or weights by name, 1
            for classes that are not named. A class that is never present counts as if it were once.
        dataset: what is learned.
        where: the key, for messages.

    Raises:
        ConfigError: a named class does not exist, or a weight is not finite, or all are 0.
    """
    if isinstance(chosen, Mapping):
        unknown = [name for name in chosen if name not in dataset.classes]
        if unknown:
            raise ConfigError(f"{where}: {dataset.name} has no class {unknown[0]!r}; it has {_some(dataset.classes)}.")
        weights_by_name = [float(chosen.get(name, 1.0)) for name in dataset.classes]
        if not (all(map(math.isfinite, weights_by_name)) and any(weights_by_name)):
            raise ConfigError(f"{where}: {dict(chosen)} needs finite weights, and one class above 0.")
        return tuple(weights_by_name)
    present = np.maximum(1, (dataset.labels == POSITIVE).sum(axis=0))
    known = (dataset.labels != UNKNOWN).sum(axis=0)
    weights = known / present if chosen == "inverse_frequency" else (1 - BETA) / (1 - BETA**present)
    return tuple((weights / weights.mean()).tolist())


def balanced_shares(labels: np.ndarray) -> np.ndarray:
    """How often each image is shown where every class is drawn equally often, and then one of its images.

    Class-aware sampling (Shen et al., ECCV 2016) for several labels: an image is drawn for each class that it shows.
    Images without a present label are one more class.

    Args:
        labels: int8 (N, C), 1 present, 0 absent, -1 unknown.

    Returns:
        Probabilities, float64 (N,).
    """
    present = labels == POSITIVE
    shown = np.concatenate([present, ~present.any(axis=1, keepdims=True)], axis=1).astype(np.float64)
    shown = shown[:, shown.any(axis=0)]
    return (shown / shown.sum(axis=0)).mean(axis=1)


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
