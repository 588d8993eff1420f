"""Multi-label metrics in numpy, one implementation for training, export and the device.

mAP, CP, CR, CF1, OP, OR and OF1 are in points (0-100), as in the papers; what a function returns bare (an average
precision, a calibration error, a precision at k) is a fraction. Targets are int8: 1 present, 0 absent, -1 unknown;
unknown entries take part in nothing.
"""

from .calibration import CalibrationBins, calibration_bins, expected_calibration_error
from .decisions import Threshold, evaluate, protocol_name
from .label_pairs import (
    correlation_difference,
    label_correlation,
    label_pair_dependency,
    label_sequence_dependency,
    most_different_pairs,
)
from .logistic import sigmoid
from .ranking import average_precision, tie_group_ends
from .retrieval import RetrievalPrecision, nearest_images, retrieval_precision
from .thresholds import best_thresholds

__all__ = [
    "CalibrationBins",
    "RetrievalPrecision",
    "Threshold",
    "average_precision",
    "best_thresholds",
    "calibration_bins",
    "correlation_difference",
    "evaluate",
    "expected_calibration_error",
    "label_correlation",
    "label_pair_dependency",
    "label_sequence_dependency",
    "most_different_pairs",
    "nearest_images",
    "protocol_name",
    "retrieval_precision",
    "sigmoid",
    "tie_group_ends",
]
