"""Multi-label metrics in numpy, one implementation for training, export and the device.

mAP, CP, CR, CF1, OP, OR and OF1 are in points (0-100), as in the papers; what a function returns bare (an average
precision) is a fraction. Targets are int8: 1 present, 0 absent, -1 unknown; unknown entries take part in nothing.
"""

from .bootstrap import bootstrap_average_precision, least_resamples, percentile_interval, resampled_average_precision
from .calibration import (
    CalibrationBins,
    calibration_bins,
    classwise_calibration_error,
    expected_calibration_error,
)
from .decisions import Threshold, evaluate, protocol_name
from .jackknife import LeftOut, leave_one_out
from .leave_one_out_f1 import F1LeftOut, leave_one_out_f1
from .logistic import sigmoid
from .ranking import average_precision, tie_group_ends
from .temperature import at_temperature, fit_temperature
from .threshold_rules import ThresholdRule, threshold_rule
from .thresholds import best_thresholds, precision_thresholds, recall_thresholds
from .uncertainty import (
    class_drop_intervals,
    f1_drop_interval,
    images_to_settle,
    least_images,
    map_drop_interval,
    map_interval,
    mean_over_classes,
    relative_drop_interval,
)

__all__ = [
    "CalibrationBins",
    "F1LeftOut",
    "LeftOut",
    "Threshold",
    "ThresholdRule",
    "at_temperature",
    "average_precision",
    "best_thresholds",
    "bootstrap_average_precision",
    "calibration_bins",
    "class_drop_intervals",
    "classwise_calibration_error",
    "evaluate",
    "expected_calibration_error",
    "f1_drop_interval",
    "fit_temperature",
    "images_to_settle",
    "least_images",
    "least_resamples",
    "leave_one_out",
    "leave_one_out_f1",
    "map_drop_interval",
    "map_interval",
    "mean_over_classes",
    "percentile_interval",
    "precision_thresholds",
    "protocol_name",
    "recall_thresholds",
    "relative_drop_interval",
    "resampled_average_precision",
    "sigmoid",
    "threshold_rule",
    "tie_group_ends",
]
