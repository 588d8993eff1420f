"""The quantile of Student's t. scipy, which has it, is not on a device."""

import math

import numpy as np

_STEPS = 20_001


def student_t_quantile(probability: float, degrees: float) -> float:
    """The value that Student's t stays below with `probability`, right to 0.1 %.

    t = sqrt(degrees) tan(angle), and the angle's density is cos(angle)^(degrees - 1): summed by trapezoids.

    Args:
        probability: at least 1/2 and below 1.
        degrees: real degrees of freedom, at least 1.

    Raises:
        ValueError: either lies outside.
    """
    if not 0.5 <= probability < 1.0 or degrees < 1.0:
        raise ValueError(f"needs 1/2 <= probability < 1 and degrees >= 1, got {probability} and {degrees}")
    angles = np.linspace(0.0, min(math.pi / 2, 40.0 / math.sqrt(degrees)), _STEPS)
    density = np.cos(angles) ** (degrees - 1.0)
    share = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    angle = np.interp((2.0 * probability - 1.0) * share[-1], share, angles)
    return math.sqrt(degrees) * math.tan(float(angle))
