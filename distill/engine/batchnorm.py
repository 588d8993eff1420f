"""BatchNorm over the batches of all processes."""

import torch
import torch.distributed as dist
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from ...runtime.errors import ConfigError


class GatheredBatchNorm2d(nn.BatchNorm2d):
    """nn.SyncBatchNorm for processes on CPUs, which PyTorch's own refuses."""

    def forward(self, maps: Tensor) -> Tensor:
        """(B, F, H, W) -> the same, by the mean and the biased variance over all processes' B, H and W."""
        if not self.training:
            return super().forward(maps)
        values = maps if maps.dtype is torch.float64 else maps.float()
        count = values.numel() // values.shape[1] * dist.get_world_size()
        mean = all_reduce(values.sum((0, 2, 3))) / count
        centred = values - mean.view(1, -1, 1, 1)
        variance = all_reduce(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            momentum = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * count / max(1, count - 1), momentum)
        normal = centred * (variance + self.eps).rsqrt().view(1, -1, 1, 1)
        return (normal * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)).to(maps.dtype)


def synchronise_batchnorm(model: nn.Module, device: torch.device) -> None:
    """Make every BatchNorm below `model` one over all processes, in place.

    Raises:
        ConfigError: on a CPU, for a network with a BatchNorm of its own kind.
    """
    if device.type != "cpu":
        convert_sync_batchnorm(model)  # timm's, because PyTorch's drops the activation that timm's layers hold
        return
    batchnorms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    strange = {type(module).__name__ for module in batchnorms if type(module) is not nn.BatchNorm2d}
    if strange:
        raise ConfigError(
            f"`sync_batchnorm: true`: {', '.join(sorted(strange))} cannot be synchronised between processes on CPUs. "
            "Set it to false, or train on GPUs."
        )
    for module in batchnorms:
        module.__class__ = GatheredBatchNorm2d  # adds a way to compute, and no state
