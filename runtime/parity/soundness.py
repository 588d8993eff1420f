"""Are a model's outputs sound in themselves, whatever they are compared with?"""

import numpy as np

from ..metrics import sigmoid

# Of a probability: far above what float16 rounds, far below another function than the sigmoid.
_LIMIT = 1e-2


def outputs_problem(logits: np.ndarray, probabilities: np.ndarray) -> str:
    """What is wrong with outputs (N, C), in words; empty when nothing is.

    Both must be numbers, and the probabilities the sigmoid of the logits: apps read the ones, the mAP is judged on the
    others.
    """
    if logits.shape != probabilities.shape:
        return f"its logits are {logits.shape} and its probabilities {probabilities.shape}"
    if not (np.isfinite(logits).all() and np.isfinite(probabilities).all()):
        return "its outputs hold NaN or infinity"
    if logits.size and np.abs(probabilities - sigmoid(logits)).max() > _LIMIT:
        return "its probabilities are not the sigmoid of its logits"
    return ""
