"""What only training asks of scores and labels, in numpy: retrieval, pairs of labels, gains over seeds.

What export and a device need too (mAP, the F1 protocols, thresholds, calibration, intervals over images) is in
`runtime.metrics`, under the same conventions: targets are int8 with 1 present, 0 absent, -1 unknown; what a function
returns bare (a precision at k) is a fraction.
"""

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
    "RetrievalPrecision",
    "correlation_difference",
    "label_correlation",
    "label_pair_dependency",
    "label_sequence_dependency",
    "most_different_pairs",
    "nearest_images",
    "paired_interval",
    "retrieval_precision",
]
