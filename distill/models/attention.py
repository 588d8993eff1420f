"""UD's uncertainty attention: which positions of the last map make a network's two opinions differ."""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

ChannelWeights = Literal["gradient", "softmax"]


@torch.compiler.disable
def uncertainty_attention(
    features: Tensor, opinions: Callable[[Tensor], tuple[Tensor, Tensor]], channel_weights: ChannelWeights
) -> Tensor:
    """Grad-CAM of the divergence between the classification and the calibration branch: UD (MM 2021) Eq. 15-16.

    The weight of channel c is the spatial sum of d KL(softmax(calibration) || softmax(logits)) / dZ_chw, both of one
    network as the text says (Eq. 15 prints a teacher's and a student's), summed over the batch, whose images depend on
    each other only through a BatchNorm in training. The map is the sum of the channels with these weights. They are
    constants: a gradient reaches the features through the weighted sum alone. Computed in float32 (float64 for float64
    features), under autocast and `no_grad` too, but not in inference mode, which forbids the gradient; torch.compile
    leaves it out of its graphs.

    Args:
        features: last feature map Z (B, F, H, W).
        opinions: what is read from it: logits and calibration logits (B, C); run again, on a map without history.
        channel_weights: `gradient` as printed; `softmax`, as the authors' code has it, takes the softmax of the weights
            over the channels.

    Returns:
        (B, H, W).
    """
    with torch.autocast(features.device.type, enabled=False):
        features = features if features.dtype is torch.float64 else features.float()
        with torch.enable_grad():
            maps = features.detach().requires_grad_()
            logits, calibration = (opinion.log_softmax(dim=1) for opinion in opinions(maps))
            divergence = F.kl_div(logits, calibration, reduction="sum", log_target=True)
            (gradient,) = torch.autograd.grad(divergence, maps)
        weights = gradient.sum((2, 3))
        weights = weights.softmax(dim=1) if channel_weights == "softmax" else weights
        return torch.einsum("bf,bfhw->bhw", weights, features)
