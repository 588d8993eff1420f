"""BatchNorm over the batches of all processes."""

from typing import Any

import torch
import torch.distributed as dist
from timm.layers import BatchNormAct2d, convert_sync_batchnorm
from torch import Tensor, nn

from ...runtime.errors import ConfigError


class GatheredBatchNorm1d(nn.BatchNorm1d):
    """nn.SyncBatchNorm for processes on CPUs, which PyTorch's own refuses."""

    def forward(self, vectors: Tensor) -> Tensor:
        """(B, F) -> the same, by the mean and the biased variance over all processes' B."""
        return _normalise(self, vectors[:, :, None, None]).flatten(1) if self.training else super().forward(vectors)


class GatheredBatchNorm2d(nn.BatchNorm2d):
    """The same for maps."""

    def forward(self, maps: Tensor) -> Tensor:
        """(B, F, H, W) -> the same, by the mean and the biased variance over all processes' B, H and W."""
        return _normalise(self, maps) if self.training else super().forward(maps)


class GatheredBatchNormAct2d(BatchNormAct2d):
    """The same for timm's layer, which holds an activation too."""

    def forward(self, maps: Tensor) -> Tensor:
        """(B, F, H, W) -> the same."""
        return self.act(self.drop(_normalise(self, maps))) if self.training else super().forward(maps)


_GATHERED = {
    nn.BatchNorm1d: GatheredBatchNorm1d,
    nn.BatchNorm2d: GatheredBatchNorm2d,
    BatchNormAct2d: GatheredBatchNormAct2d,
}


def synchronise_batchnorm(model: nn.Module, device: torch.device) -> None:
    """Make every BatchNorm below `model` one over all processes, in place.

    Raises:
        ConfigError: on a CPU, for a network with a BatchNorm of its own kind.
    """
    if device.type != "cpu":
        convert_sync_batchnorm(model)  # timm's, because PyTorch's drops the activation that timm's layers hold
        return
    batchnorms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    strange = {type(module).__name__ for module in batchnorms if type(module) not in _GATHERED}
    if strange:
        raise ConfigError(
            f"`sync_batchnorm: true`: {', '.join(sorted(strange))} cannot be synchronised between processes on CPUs. "
            "Set it to false, or train on GPUs."
        )
    for module in batchnorms:
        module.__class__ = _GATHERED[type(module)]  # adds a way to compute, and no state


def require_more_than_one_image(model: nn.Module, images: int, parts: str, title: str) -> None:
    """Raise ConfigError where a BatchNorm would normalise a single image by itself.

    Args:
        model: in the mode it is trained in.
        images: that a BatchNorm sees at once.
        parts: how a step is shared out, for the message.
        title: of the training, for the message.
    """
    found = (m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training)
    if images == 1 and next(found, None) is not None:
        raise ConfigError(
            f"{title}: BatchNorm would see one image at a time ({parts}) and has no statistics of one: raise "
            "`batch_size`, lower `accumulate`, or take more training images than that."
        )


class _SumOfAll(torch.autograd.Function):
    """The sum over all processes, whose gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        total = local.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _SumOfAll.forward(ctx, gradient)


def _normalise(layer: nn.BatchNorm1d | nn.BatchNorm2d, maps: Tensor) -> Tensor:
    values = maps if maps.dtype is torch.float64 else maps.float()
    count = values.numel() // values.shape[1] * dist.get_world_size()
    mean = _SumOfAll.apply(values.sum((0, 2, 3))) / count
    centred = values - mean.view(1, -1, 1, 1)
    variance = _SumOfAll.apply(centred.square().sum((0, 2, 3))) / count
    with torch.no_grad():
        assert layer.num_batches_tracked is not None
        assert layer.running_mean is not None
        assert layer.running_var is not None
        layer.num_batches_tracked += 1
        momentum = 1.0 / float(layer.num_batches_tracked) if layer.momentum is None else layer.momentum
        layer.running_mean.lerp_(mean, momentum)
        layer.running_var.lerp_(variance * count / max(1, count - 1), momentum)
    normal = centred * (variance + layer.eps).rsqrt().view(1, -1, 1, 1)
    return (normal * layer.weight.view(1, -1, 1, 1) + layer.bias.view(1, -1, 1, 1)).to(maps.dtype)
