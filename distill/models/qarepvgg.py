"""QARepVGG (Chu et al., AAAI 2024): RepVGG's block, changed so that its fused kernel survives int8."""

from typing import Any

import torch
from timm.models.byobnet import RepVggBlock
from torch import Tensor, nn
from torch.nn import functional as F

from ...runtime.errors import ConfigError


class QARepVGGBlock(nn.Module):
    """The three branches of RepVGG with one BatchNorm over their sum, and none on the 1x1 and identity branches.

    In RepVGG the three branches' BatchNorms scale each channel independently, so that a few channels of the fused
    kernel are far larger than the others and take the range of all. Chu et al., "Make RepVGG Greater Again: A
    Quantization-aware Approach", AAAI 2024, the variant S4 and its authors' QARepVGGBlockV2: of the branches the 3x3
    alone keeps its BatchNorm, the weight decay is the ordinary one.

    Args:
        block: timm's RepVggBlock, not yet fused, whose convolutions and activation it takes over; its BatchNorms
            begin anew.
    """

    conv_1x1: nn.Conv2d

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.conv_kxk: Any = block.conv_kxk
        self.conv_kxk.bn.reset_parameters()
        self.conv_1x1 = block.conv_1x1.conv
        self.has_identity = block.identity is not None
        self.bn = nn.BatchNorm2d(self.conv_1x1.out_channels)
        self.attn, self.act = block.attn, block.act

    def forward(self, maps: Tensor) -> Tensor:
        """(B, F, H, W) -> (B, F', H', W')."""
        total = self.conv_kxk(maps) + self.conv_1x1(maps)
        if self.has_identity:
            total = total + maps
        return self.act(self.attn(self.bn(total)))

    @torch.no_grad()
    def fuse(self) -> nn.Module:
        """One convolution with a bias and the activation, which compute the same in eval mode."""
        dense: nn.Conv2d = self.conv_kxk.conv
        kernel, bias = _normalised(dense.weight, torch.zeros_like(self.bn.bias), self.conv_kxk.bn)
        beside = dense.kernel_size[0] // 2
        kernel = kernel + F.pad(self.conv_1x1.weight, [beside] * 4)
        if self.has_identity:
            channels = torch.arange(len(kernel), device=kernel.device)
            kernel[channels, channels % kernel.shape[1], beside, beside] += 1.0
        kernel, bias = _normalised(kernel, bias, self.bn)
        fused = nn.utils.skip_init(
            nn.Conv2d,
            dense.in_channels,
            dense.out_channels,
            dense.kernel_size[0],
            stride=dense.stride,
            padding=dense.padding,
            dilation=dense.dilation,
            groups=dense.groups,
            device=kernel.device,
            dtype=kernel.dtype,
        )
        fused.weight.copy_(kernel)
        fused.bias.copy_(bias)
        return nn.Sequential(fused, self.attn, self.act)


def _normalised(kernel: Tensor, bias: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Kernel (F', F, k, k) and bias (F',) of a convolution and the BatchNorm after it, in eval mode."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return kernel * scale.view(-1, 1, 1, 1), norm.bias + (bias - norm.running_mean) * scale


def adapt_blocks(network: nn.Module) -> None:
    """Replace every RepVGG block below `network` by its quantisation-friendly form.

    Raises:
        ConfigError: there is none.
    """
    found = [name for name, module in network.named_modules() if isinstance(module, RepVggBlock)]
    if not found:
        raise ConfigError("`block: qa` is for networks of RepVGG blocks; this one has none.")
    for name in found:
        network.set_submodule(name, QARepVGGBlock(network.get_submodule(name)))
