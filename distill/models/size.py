"""How large a network is and how much it computes, counted on the form that a device runs."""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from .reparameterize import reparameterize


class Size(NamedTuple):
    """A network's size.

    Attributes:
        parameters: with those of its normalisation layers.
        macs: multiply-accumulates of its convolutions and matrix products for one image, as papers count them.
    """

    parameters: int
    macs: int


def deployed_size(model: nn.Module, size: tuple[int, int]) -> Size:
    """The size of what ships of `model`: parallel branches summed, training-only branches gone, its head included.

    Args:
        model: left as it is.
        size: (height, width) of its images, in pixels.
    """
    deployed = reparameterize(model)
    image = torch.zeros(1, 3, *size)
    # As plain matrix products, which every version of the counter knows.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        deployed(image)
    return Size(count_parameters(deployed), counter.get_total_flops() // 2)


def count_parameters(model: nn.Module) -> int:
    """All of them, trained or frozen."""
    return sum(parameter.numel() for parameter in model.parameters())
