"""What only training asks of scores and labels, in numpy: calibration, retrieval, pairs of labels, gains over seeds.

What a device needs too (mAP, the F1 protocols, thresholds, intervals over images) is in `runtime.metrics`, under
the same conventions: targets are int8 with 1 present, 0 absent, -1 unknown; what a function returns bare (a calibration
error, a precision at k) is a fraction.
"""

from .calibration import CalibrationBins, calibration_bins, expected_calibration_error
from .label_pairs import (
    correlation_difference,
    label_correlation,
    label_pair_dependency,
    label_sequence_dependency,
    most_different_pairs,
)
from .retrieval import RetrievalPrecision, nearest_images, retrieval_precision
from .student_t import paired_interval

__all__ = [
    "CalibrationBins",
    "RetrievalPrecision",
    "calibration_bins",
    "correlation_difference",
    "expected_calibration_error",
    "label_correlation",
    "label_pair_dependency",
    "label_sequence_dependency",
    "most_different_pairs",
    "nearest_images",
    "paired_interval",
    "retrieval_precision",
]
