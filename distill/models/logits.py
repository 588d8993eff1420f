"""Networks that give probabilities where logits are wanted: their last operation tells, or their values do."""

import contextlib
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...runtime.errors import ConfigError

_log = logging.getLogger("edgedistill")

_SHOWN = 8  # images

_SQUASHING = {"Sigmoid": "a sigmoid", "Hardsigmoid": "a hard sigmoid", "Softmax": "a softmax"}
# By the names of autograd's nodes: what changes no value, and what logits usually come from.
_PASSING = ("View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze", "ToCopy", "Clone", "Alias", "Slice", "Select")
_USUAL = ("Addmm", "Mm", "Bmm", "Baddbmm", "Linear", "Convolution", "Mean", "Sum", "Add", "Cat", "Stack", "Max", "Amax")
_WAY_OUT = (
    "training takes logits, and every loss has its own sigmoid. Take that layer away (`nn.Identity()` in its place); a "
    'teacher that is to stay as it is can be given as a function with `teacher_scale="probabilities"`.'
)


def require_logits(run: Callable[[Tensor], Tensor], size: tuple[int, int], who: str) -> None:
    """Refuse a network that ends in a sigmoid or a softmax; where its end is hidden and its values look so, tell.

    Args:
        run: the network, on normalised images (B, 3, H, W).
        size: (height, width) of the images in pixels.
        who: begins the message.

    Raises:
        ConfigError: it gives probabilities.
    """
    last = ""
    with contextlib.suppress(ConfigError), torch.enable_grad():  # some take no gradient, such as quantised ones
        last = _last_operation(run(torch.zeros(1, 3, *size, requires_grad=True)))
    if last in _SQUASHING:
        raise ConfigError(f"{who} ends in {_SQUASHING[last]} and gives probabilities: {_WAY_OUT}")
    if last in _USUAL:
        return
    with torch.no_grad():
        found = run(torch.randn(_SHOWN, 3, *size, generator=torch.Generator().manual_seed(0)))
    low, high = found.min().item(), found.max().item()
    if 0 <= low < high <= 1:
        _log.warning("%s gives values from %.2g to %.2g. Are they probabilities? Then: %s", who, low, high, _WAY_OUT)


def _last_operation(outputs: Tensor) -> str:
    """The name of what computes the outputs, before what only moves values; empty where the network hides it."""
    node: Any = outputs.grad_fn
    while node is not None:
        name: str = node.name().partition("Backward")[0]
        if name not in _PASSING or not node.next_functions:
            return name
        node = node.next_functions[0][0]
    return ""
