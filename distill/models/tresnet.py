"""TResNet (Ridnik et al., WACV 2021), timm's."""

import timm
import torch.nn.functional as F
from torch import Tensor, nn

from .backbone import BACKBONES, Backbone, BackboneFactory
from .weights import LibraryNetwork, Pretrained, with_pretrained


class PadToBlocks(nn.Module):
    """Zeros at the right and the bottom up to whole blocks of 4 x 4 pixels, which the space-to-depth stem needs."""

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 3, H', W'): the next multiples of 4."""
        bottom, right = -images.shape[2] % 4, -images.shape[3] % 4
        return F.pad(images, (0, right, 0, bottom)) if bottom or right else images


def tresnet_stages(model: LibraryNetwork) -> list[nn.Module]:
    """The stem with the first group of residual blocks, then the other three: strides 4, 8, 16, 32."""
    body = model.body
    return [nn.Sequential(PadToBlocks(), body.s2d, body.conv1, body.layer1), body.layer2, body.layer3, body.layer4]


@BACKBONES.register("tresnet_l")
class TResNetL(BackboneFactory):
    """Space-to-depth stem, anti-aliased strides, squeeze-and-excitation; "imagenet" saw 448 px, pixels in [0, 1]."""

    description = "TResNet-L, whose weights want mean 0 and std 1: 10875 MMAC at 224 px, 53.56 M parameters"
    mean = (0.0, 0.0, 0.0)
    std = (1.0, 1.0, 1.0)

    def build(self, *, width: float, pretrained: Pretrained) -> Backbone:
        model = with_pretrained(
            lambda weights: timm.create_model("tresnet_l.miil_in1k_448", pretrained=bool(weights)),
            pretrained,
            classifier=("head.",),
        )
        return Backbone(tresnet_stages(model), model.num_features, model)
