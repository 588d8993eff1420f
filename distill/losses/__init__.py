"""Losses of multi-label classification and distillation: functional, each documenting its reduction."""

from .asymmetric import asymmetric
from .attention import attention_distance
from .bce import bce
from .distribution_balanced import distribution_balanced
from .focal import focal
from .kl import binary_kl, softmax_kl
from .l2d import class_and_instance_aware, class_aware, instance_aware
from .label_smoothing import label_smoothing
from .mdkd import (
    batch_and_instance_dependencies,
    batch_dependencies,
    batch_dependency,
    instance_dependencies,
    instance_dependency,
)
from .mld import mld
from .mse import mse
from .pal import pal
from .partial_softmax import partial_softmax
from .pkt import pkt
from .review import hierarchical_context
from .rkd import rkd_angle, rkd_distance
from .softmax_targets import softmax_targets

__all__ = [
    "asymmetric",
    "attention_distance",
    "batch_and_instance_dependencies",
    "batch_dependencies",
    "batch_dependency",
    "bce",
    "binary_kl",
    "class_and_instance_aware",
    "class_aware",
    "distribution_balanced",
    "focal",
    "hierarchical_context",
    "instance_aware",
    "instance_dependencies",
    "instance_dependency",
    "label_smoothing",
    "mld",
    "mse",
    "pal",
    "partial_softmax",
    "pkt",
    "rkd_angle",
    "rkd_distance",
    "softmax_kl",
    "softmax_targets",
]
