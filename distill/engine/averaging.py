"""Averages of a training's weights, and which of the networks is evaluated and kept."""

from collections.abc import Iterable
from typing import Annotated, Literal

import torch
from msgspec import Meta
from torch import Tensor, nn

from ...runtime.config import Config

Weights = Literal["raw", "ema", "swa"]
Keep = Literal["average", "best"]


class SwaSettings(Config):
    """Stochastic weight averaging (Izmailov et al., UAI 2018): the plain mean of the weights at the ends of epochs.

    It gains where the rate stays up while it averages: `schedule: constant`, or one that is laid out for more epochs.

    Attributes:
        start: share of the epochs after which averaging begins.
    """

    start: Annotated[float, Meta(ge=0, lt=1)] = 0.75

    def averages(self, epochs_done: int, epochs: int) -> bool:
        """Whether the weights after so many of `epochs` take part."""
        return epochs_done > int(self.start * epochs)


@torch.no_grad()
def refresh_batchnorm(network: nn.Module, like: nn.Module, images: Iterable[Tensor]) -> None:
    """Give an average the BatchNorm statistics that it has itself, as `torch.optim.swa_utils.update_bn` does.

    That one would also replace the statistics of what is frozen.

    Args:
        network: an average of weights; afterwards in evaluation mode.
        like: the same network as it is trained: its modules that are in training mode get new statistics.
        images: normalised, (B, 3, H, W) each.
    """
    for module, trained in zip(network.modules(), like.modules(), strict=True):
        module.training = trained.training
    momenta = {
        module: module.momentum
        for module in network.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training
    }
    for module in momenta:
        module.reset_running_stats()
        module.momentum = None  # the mean over all batches
    if momenta:
        for batch in images:
            network(batch)
    for module, momentum in momenta.items():
        module.momentum = momentum
    network.eval()
