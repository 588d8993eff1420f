"""One number that makes probabilities come true as often as they say, and changes no ranking."""

import numpy as np

from .inputs import checked
from .logistic import sigmoid

# What lies beyond would say that the labels are not those of the logits, or that there are far too few.
LEAST, MOST = 0.05, 20.0
_STEPS = 100
_TOLERANCE = 1e-10


def at_temperature(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities sigmoid(logit / temperature), in the dtype of floating `logits`."""
    return sigmoid(np.asarray(logits) / np.float32(temperature))


def fit_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """The temperature whose probabilities have the least binary cross-entropy on these images.

    All known labels weigh the same. The loss is convex in 1 / temperature; its minimum is found by Newton's method,
    kept within a bracket. Source: C. Guo et al., On Calibration of Modern Neural Networks, ICML 2017, Sec. 4.2, with
    the sigmoid of each label in place of the softmax.

    Args:
        logits: (N, C), finite, on a validation split (never the test split).
        targets: (N, C); 1, 0 or -1 (left out).

    Returns:
        a number within 0.05 and 20, at which the search ends where every logit is on its label's side (the loss then
        falls without end as the temperature does) or where they tell nothing of the labels; 1 where no label is known
        or every logit is 0, which no temperature changes.

    Raises:
        ValueError: shapes differ, a logit is NaN, or a target is not 1, 0 or -1.
    """
    logits, targets = checked(logits, targets)
    known = targets >= 0
    values, present = logits[known].astype(np.float64), targets[known] == 1
    if not values.any():
        return 1.0

    def slope(scale: float) -> tuple[float, float]:
        """First and second derivative of the loss by the scale = 1 / temperature."""
        p = sigmoid(scale * values)
        return float(((p - present) * values).mean()), float((p * (1.0 - p) * values**2).mean())

    low, high = 1.0 / MOST, 1.0 / LEAST
    if slope(low)[0] >= 0.0:
        return MOST
    if slope(high)[0] <= 0.0:
        return LEAST
    scale = 1.0
    for _ in range(_STEPS):
        first, second = slope(scale)
        low, high = (scale, high) if first < 0.0 else (low, scale)
        step = scale - first / second if second > 0.0 else low
        step = step if low < step < high else (low + high) / 2.0
        scale, before = step, scale
        if abs(scale - before) <= _TOLERANCE * before:
            break
    return 1.0 / scale
