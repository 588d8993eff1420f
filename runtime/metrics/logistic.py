"""From logits to probabilities."""

import numpy as np


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Numerically stable logistic function, in the dtype of `logits`."""
    decay = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1.0, decay).astype(logits.dtype) / (1.0 + decay)
