"""Heads in float32 where their backbone runs in half precision."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

R = TypeVar("R")
F = TypeVar("F")


def in_float32(read: Callable[[F], R], features: F, device: torch.device) -> R:
    """`read` of the features, outside autocast and in float32 (float64 stays).

    In bfloat16 a logit of 8 would be off by up to 0.03, which is what a teacher and its student differ by.

    Args:
        read: a head, a branch or a mean.
        features: of a backbone, in half precision under autocast: a tensor, or several.
        device: theirs, which a tracer does not tell.
    """
    if device.type == "meta" or not torch.is_autocast_enabled(device.type):
        return read(features)
    with torch.autocast(device.type, enabled=False):
        return read(_raised(features))


def device_of(network: nn.Module) -> torch.device:
    """Where a network's weights are; a tracer tells that of no tensor that passes through."""
    return next(network.parameters()).device


def _raised(features: Any) -> Any:
    if isinstance(features, (tuple, list)):
        return type(features)(map(_raised, features))
    half = isinstance(features, Tensor) and features.dtype in (torch.float16, torch.bfloat16)
    return features.float() if half else features
