"""`residual`: MobileNetV2's layers, each kind once or twice. Its export takes a fraction of the time of the whole."""

from torch import nn
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.ops import Conv2dNormActivation

from edgedistill.distill.models.backbone import BACKBONES, Backbone, BackboneFactory

NAME = "residual"
CONVOLUTIONS = 11
_CHANNELS = 512  # so many that a file is mostly weights


@BACKBONES.register(NAME)
class Residual(BackboneFactory):
    """A stem, inverted residuals with and without a sum, a layer of 1x1."""

    description = "for tests: 37 MMAC at 224 px, 0.1 M parameters"

    def build(self, *, width: float, pretrained: str | None) -> Backbone:
        stages = [
            nn.Sequential(
                Conv2dNormActivation(3, 16, stride=2, activation_layer=nn.ReLU6),
                InvertedResidual(16, 16, stride=1, expand_ratio=4),
            ),
            InvertedResidual(16, 32, stride=2, expand_ratio=4),
            nn.Sequential(
                InvertedResidual(32, 64, stride=2, expand_ratio=4),
                Conv2dNormActivation(64, _CHANNELS, kernel_size=1, activation_layer=nn.ReLU6),
            ),
        ]
        return Backbone(stages, _CHANNELS)
