"""The part of the training data that selects epochs and thresholds; the test split never does."""

import numpy as np

from ...runtime.datasets import Dataset
from ...runtime.errors import ConfigError


def split_validation(dataset: Dataset, share: float, seed: int) -> tuple[Dataset, Dataset]:
    """Split into (train, validation) at random, the same for the same seed.

    Args:
        dataset: the training data.
        share: of the images that go to validation, in (0, 1).
        seed: of the draw.

    Raises:
        ConfigError: the share leaves one of the two empty.
    """
    held_out = round(len(dataset) * share)
    if not 0 < held_out < len(dataset):
        raise ConfigError(
            f"data.validation: {share} of {len(dataset)} images leaves {held_out} for validation and "
            f"{len(dataset) - held_out} for training; give a share between 0 and 1 that leaves some for both."
        )
    order = np.random.default_rng([seed, 0x5A11]).permutation(len(dataset))
    return (
        dataset.subset(np.sort(order[held_out:]), f"{dataset.name} (training part)"),
        dataset.subset(np.sort(order[:held_out]), f"{dataset.name} (validation part)"),
    )
