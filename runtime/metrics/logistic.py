"""From logits to probabilities."""

import numpy as np


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Numerically stable logistic function, in the dtype of `logits`; of integers and booleans, a floating one."""
    logits = np.asarray(logits)
    if logits.dtype.kind != "f":  # an integer's smallest value has no absolute value in its dtype
        logits = logits.astype(np.promote_types(logits.dtype, np.float32))
    # Neither exponent is above 0. Few calls of numpy, since a device asks this after each inference.
    below = np.minimum(logits, 0)
    return np.exp(below) / (1 + np.exp(below - np.maximum(logits, 0)))
