"""Swin Transformer (Liu et al., ICCV 2021), torchvision's: it pads its windows, so that any input size works."""

from typing import Any

import torchvision
from torch import nn
from torchvision.ops import Permute

from .backbone import BACKBONES, Backbone, BackboneFactory
from .weights import LibraryNetwork, Pretrained, with_pretrained


def swin_stages(model: LibraryNetwork) -> list[nn.Module]:
    """Patch embedding or merging with the blocks behind it, strides 4, 8, 16, 32, as (B, F, H, W) maps.

    Within, torchvision keeps the channels last. The final normalisation belongs to the last stage.
    """
    first, *layers = model.features  # embedding, blocks, merging, blocks, ...
    stages = [[first, layers[0]]] + [list(pair) for pair in zip(layers[1::2], layers[2::2], strict=True)]
    stages[-1].append(model.norm)
    channels_first, channels_last = Permute([0, 3, 1, 2]), Permute([0, 2, 3, 1])
    return [
        nn.Sequential(*([channels_last] if index else []), *stage, channels_first) for index, stage in enumerate(stages)
    ]


class Swin(BackboneFactory):
    """Attention within windows of 7 x 7 patches of 4 x 4 pixels, shifted in every other block."""

    variant: str

    def build(self, *, width: float, pretrained: Pretrained) -> Backbone:
        def create(weights: str | None) -> Any:
            return torchvision.models.get_model(self.variant, weights="IMAGENET1K_V1" if weights else None)

        model = with_pretrained(create, pretrained, classifier=("head.",))
        return Backbone(swin_stages(model), model.head.in_features, model)


@BACKBONES.register("swin_t")
class SwinT(Swin):
    """Blocks 2-2-6-2."""

    variant = "swin_t"
    description = "Swin-T: 4490 MMAC at 224 px, 27.52 M parameters"


@BACKBONES.register("swin_s")
class SwinS(Swin):
    """Blocks 2-2-18-2."""

    variant = "swin_s"
    description = "Swin-S: 8740 MMAC at 224 px, 48.84 M parameters"
