"""Averages of a training's weights, and which of the networks is evaluated and kept."""

from collections.abc import Iterable
from typing import Annotated, Literal

import torch
from msgspec import Meta
from timm.utils import ModelEmaV3
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


class MovingAverage(ModelEmaV3):
    """timm's average with its warm-up, without its walk over two state dicts at every update.

    Args:
        model: that it follows, whose tensors are changed in place.
        decay: that it ramps up to.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model, decay=decay, use_warmup=True)
        self._floats: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
        self._counts: tuple[list[Tensor], list[Tensor]] = [], []
        seen: set[int] = set()
        for average, value in zip(self.module.state_dict().values(), model.state_dict().values(), strict=True):
            if average.data_ptr() in seen:  # of layers that share it: it would be averaged twice at every step
                continue
            seen.add(average.data_ptr())
            floats = self._floats.setdefault(average.dtype, ([], [])) if average.is_floating_point() else self._counts
            floats[0].append(average)
            floats[1].append(value)

    @torch.no_grad()
    def follow(self, step: int, finite: Tensor) -> None:
        """Update it after `step` steps (skipped ones count), or leave it.

        Args:
            step: at least 1.
            finite: 0-dim bool on the device: whether the last step was taken. Where it is false the model must be as it
                was before that step.
        """
        rate = 1.0 - self.get_decay(step)
        for dtype, (averages, values) in self._floats.items():
            weight = finite.to(dtype) * rate
            if averages[0].device.type == "cpu":
                torch._foreach_lerp_(averages, values, [weight] * len(averages))  # a CPU takes them one by one anyway
            else:
                follow_at_once(averages, values, weight)
        if self._counts[0]:
            torch._foreach_copy_(*self._counts)


def follow_at_once(averages: list[Tensor], values: list[Tensor], weight: Tensor) -> None:
    """`torch._foreach_lerp_` by a 0-dim weight on the device, in three operations on a whole list each."""
    differences = torch._foreach_sub(values, averages)
    torch._foreach_mul_(differences, weight)
    torch._foreach_add_(averages, differences)


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
