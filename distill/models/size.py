"""How large a network is and how much it computes, counted on the form that a device runs."""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ...runtime.errors import ConfigError, first_line
from .classifier import Classifier
from .reparameterize import reparameterize
from .weights import own_size


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


@torch.no_grad()
def require_size(model: Classifier, size: tuple[int, int], *, where: str, name: str) -> None:
    """Raise ConfigError where the network does not take images of this size, found by passing it one.

    Args:
        model: left as it is.
        size: (height, width) in pixels.
        where: what asks for this size, for the message.
        name: of the network, for the message.
    """
    modes = {module: module.training for module in model.modules()}
    try:
        device = next(model.parameters()).device  # where it has taught already
        model.eval()(torch.zeros(1, 3, *size, device=device))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # each library has its own words and types for it
        own = own_size(getattr(model.backbone, "model", model.backbone))
        reason = first_line(error).rstrip(".")
        raise ConfigError(
            f"{where}: {name} takes no images of {size[0]} x {size[1]} pixels ({reason}). It "
            f"was made for {own[0]} x {own[1]}."
        ) from error
    finally:
        for module, mode in modes.items():
            module.training = mode


def count_parameters(model: nn.Module) -> int:
    """All of them, trained or frozen."""
    return sum(parameter.numel() for parameter in model.parameters())
