"""Multi-label metrics in numpy, one implementation for training, export and the device.

mAP, CP, CR, CF1, OP, OR and OF1 are in points (0-100), as in the papers; what a function returns bare (an average
precision) is a fraction. Targets are int8: 1 present, 0 absent, -1 unknown; unknown entries take part in nothing.
"""

from .bootstrap import bootstrap_average_precision, least_resamples, percentile_interval, resampled_average_precision
from .decisions import Threshold, evaluate, protocol_name
from .jackknife import LeftOut, leave_one_out
from .logistic import sigmoid
from .ranking import average_precision, tie_group_ends
from .thresholds import best_thresholds
from .uncertainty import (
    class_drop_intervals,
    images_to_settle,
    least_images,
    map_drop_interval,
    map_interval,
    mean_over_classes,
)

__all__ = [
    "LeftOut",
    "Threshold",
    "average_precision",
    "best_thresholds",
    "bootstrap_average_precision",
    "class_drop_intervals",
    "evaluate",
    "images_to_settle",
    "least_images",
    "least_resamples",
    "leave_one_out",
    "map_drop_interval",
    "map_interval",
    "mean_over_classes",
    "percentile_interval",
    "protocol_name",
    "resampled_average_precision",
    "sigmoid",
    "tie_group_ends",
]
