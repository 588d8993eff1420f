"""Distillation methods: one file per method, found by name."""

from typing import Any

import msgspec

from ...runtime.config import decode_tagged
from .base import METHODS, Method, TrainingContext
from .term import Term, Terms, total, values

__all__ = [
    "METHODS",
    "Method",
    "Term",
    "Terms",
    "TrainingContext",
    "build_method",
    "labels_alone",
    "total",
    "values",
    "without_warmup",
]


def build_method(name: str, **hyperparameters: Any) -> Method:
    """The method called `name` with the given hyper-parameters, the others at their paper's values.

    Raises:
        ConfigError: unknown method or hyper-parameter, or an impossible value.
    """
    content = {**hyperparameters, "name": name}
    return decode_tagged(content, METHODS, tag="name", where="build_method", prefix="method")


def labels_alone(method: Method) -> Method:
    """What is left of a method without a teacher: its supervised loss, reduced and weighted as there.

    A comparison with it shows what the distillation brings. A method without a supervised loss leaves BCE.
    """
    return build_method(
        "vanilla",
        supervised=method.learns_by,
        reduction=method.reduction,
        lambda_calibration=method.lambda_calibration,
    )


def without_warmup(method: Method) -> Method:
    """The same with all its terms from the first step on, for a training that goes on where another one ended."""
    return msgspec.structs.replace(method, warmup_epochs=0.0) if hasattr(method, "warmup_epochs") else method
