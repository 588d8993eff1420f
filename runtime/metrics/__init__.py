"""Multi-label metrics in numpy, one implementation for training, export and the device.

mAP, CP, CR, CF1, OP, OR and OF1 are in points (0-100), as in the papers; what a function returns bare (an average
precision) is a fraction. Targets are int8: 1 present, 0 absent, -1 unknown;
unknown entries take part in nothing.
"""

from .decisions import Threshold, evaluate, protocol_name
from .logistic import sigmoid
from .ranking import average_precision, tie_group_ends
from .thresholds import best_thresholds

__all__ = [
    "Threshold",
    "average_precision",
    "best_thresholds",
    "evaluate",
    "protocol_name",
    "sigmoid",
    "tie_group_ends",
]
