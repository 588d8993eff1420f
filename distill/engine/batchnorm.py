"""BatchNorm over the batches of all processes."""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


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
    """Make every BatchNorm2d below `model` one over all processes, in place."""
    if device.type != "cpu":
        nn.SyncBatchNorm.convert_sync_batchnorm(model)  # replaces the children; `model` itself is none
        return
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = GatheredBatchNorm2d  # adds a way to compute, and no state
