"""Distillation methods: one file per method, found by name."""

from typing import Any

from ...runtime.config import decode_tagged
from .base import METHODS, Method, TrainingContext
from .term import Term, Terms, total, values

__all__ = ["METHODS", "Method", "Term", "Terms", "TrainingContext", "build_method", "labels_alone", "total", "values"]


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
