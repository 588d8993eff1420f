"""From logits to probabilities."""

import numpy as np


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Numerically stable logistic function, in the dtype of `logits`; of integers and booleans, a floating one."""
    logits = np.asarray(logits)
    if logits.dtype.kind != "f":  # an integer's smallest value has no absolute value in its dtype
        logits = logits.astype(np.promote_types(logits.dtype, np.float32))
    decay = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1.0, decay).astype(logits.dtype) / (1.0 + decay)
