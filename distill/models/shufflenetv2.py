"""ShuffleNetV2 (Ma et al., ECCV 2018), torchvision's."""

import torchvision
from torch import nn

from .backbone import BACKBONES, Backbone, BackboneFactory
from .weights import Pretrained, with_pretrained


@BACKBONES.register("shufflenetv2")
class ShuffleNetV2(BackboneFactory):
    """Channel split and shuffle."""

    description = "ShuffleNetV2 (at width 1): 144 MMAC at 224 px, 1.25 M parameters"
    widths = (0.5, 1.0, 1.5, 2.0)

    def build(self, *, width: float, pretrained: Pretrained) -> Backbone:
        create = getattr(torchvision.models, f"shufflenet_v2_x{width:.1f}".replace(".", "_"))
        model = with_pretrained(
            lambda weights: create(weights="IMAGENET1K_V1" if weights else None), pretrained, classifier=("fc.",)
        )
        stages = [
            model.conv1,
            nn.Sequential(model.maxpool, model.stage2),
            model.stage3,
            nn.Sequential(model.stage4, model.conv5),
        ]
        return Backbone(stages, model.fc.in_features, model)
