"""MobileNetV2 (Sandler et al., CVPR 2018), torchvision's."""

from torch import nn
from torchvision.models import mobilenet_v2

from .backbone import BACKBONES, Backbone, BackboneFactory
from .weights import Pretrained, with_pretrained

# Where the map halves: torchvision's `features` indices, stages of stride 2, 4, 8, 16, 32.
_STAGE_ENDS = (2, 4, 7, 14, 19)


@BACKBONES.register("mobilenetv2")
class MobileNetV2(BackboneFactory):
    """Inverted residuals with linear bottlenecks."""

    description = "MobileNetV2 (any width; at 1): 299 MMAC at 224 px, 2.22 M parameters"
    widths = None

    def build(self, *, width: float, pretrained: Pretrained) -> Backbone:
        model = with_pretrained(
            lambda weights: mobilenet_v2(weights="IMAGENET1K_V1" if weights else None, width_mult=width),
            pretrained,
            classifier=("classifier.",),
        )
        layers = list(model.features)
        stages = [
            nn.Sequential(*layers[start:end]) for start, end in zip((0, *_STAGE_ENDS[:-1]), _STAGE_ENDS, strict=True)
        ]
        return Backbone(stages, model.last_channel, model)
