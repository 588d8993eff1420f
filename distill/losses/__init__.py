"""Losses of multi-label classification and distillation: functional, one per file, each documenting its reduction."""

from .asymmetric import asymmetric
from .attention import attention_distance
from .batch_dependency import batch_dependencies, batch_dependency
from .bce import bce
from .binary_kl import binary_kl
from .class_aware import class_aware
from .instance_aware import instance_aware
from .instance_dependency import instance_dependencies, instance_dependency
from .label_dependencies import batch_and_instance_dependencies
from .label_smoothing import label_smoothing
from .label_structure import class_and_instance_aware
from .mld import mld
from .mse import mse
from .pal import pal
from .partial_softmax import partial_softmax
from .pkt import pkt
from .review import hierarchical_context
from .rkd import rkd_angle, rkd_distance
from .softmax_kl import softmax_kl
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
