"""A method whose supervised loss knows how much each class counts."""

from typing import TypeVar

import msgspec

from .base import Method
from .supervised import ClassWeighted, loss_of

MethodT = TypeVar("MethodT", bound=Method)


def weigh_classes(method: MethodT, weights: tuple[float, ...]) -> MethodT:
    """The method with its supervised loss, and a decoder's, weighted by class: C factors."""
    return msgspec.structs.replace(method, supervised=ClassWeighted(loss=loss_of(method.learns_by), weights=weights))
