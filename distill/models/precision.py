"""Heads in float32 where their backbone runs in half precision."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

R = TypeVar("R")


def in_float32(read: Callable[[Tensor], R], features: Tensor, device: torch.device) -> R:
    """`read` of the features, outside autocast and in float32 (float64 stays).

    In bfloat16 a logit of 8 would be off by up to 0.03, which is what a teacher and its student differ by.

    Args:
        read: a head, a branch or a mean.
        features: of a backbone, in half precision under autocast.
        device: theirs, which a tracer does not tell.
    """
    if device.type == "meta" or not torch.is_autocast_enabled(device.type):
        return read(features)
    with torch.autocast(device.type, enabled=False):
        return read(features.float() if features.dtype in (torch.float16, torch.bfloat16) else features)
